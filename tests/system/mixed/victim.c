/* SPDX-License-Identifier: MIT */
/* Reads lines "FIRST COUNT": calls mixed_f(i), getpriority(PRIO_PROCESS, i), mixed_g(i), mixed_lock(i) and mixed_tight() that often, and says "done". */
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noinline, visibility("default"))) long mixed_f(long i);

/* Far from the other one. */
__attribute__((noinline, visibility("default"), aligned(1024))) long mixed_g(long i);

long mixed_f(long i)
{
	__asm__ volatile("nop\n nop\n nop\n nop" ::: "memory");
	return i * 3;
}

long mixed_g(long i)
{
	__asm__ volatile("nop\n nop\n nop\n nop" ::: "memory");
	return i * 5;
}

/* A byte, among bytes that are jumped over one by one: no jump has room there, or near. */
void mixed_tight(void);
__asm__(".text\n.balign 1024\n.rept 100\n dec %eax\n ret\n.endr\n.globl mixed_tight\n.type mixed_tight, @function\n"
	"mixed_tight: ret\n.size mixed_tight, 1\n.rept 100\n dec %eax\n ret\n.endr\n.balign 1024\n");

/* Begins with a lock prefix. */
__attribute__((naked, noinline, aligned(1024))) void mixed_lock(long i);

void mixed_lock(long i)
{
	__asm__ volatile("lock addl $0, -8(%rsp)\n nop\n nop\n nop\n nop\n ret");
}

int main(void)
{
	long first, count;

	printf("ready %p %p\n", (void *)mixed_f, (void *)mixed_g);
	fflush(stdout);
	while (scanf("%ld %ld", &first, &count) == 2) {
		for (long i = first; i < first + count; i++) {
			mixed_f(i);
			syscall(SYS_getpriority, 0, i);
			mixed_g(i);
			mixed_lock(i);
			mixed_tight();
		}
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
