/* SPDX-License-Identifier: MIT */
/* The wait for the broker after a dlopen: short when it answers, bounded when it does not. */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "subject.h"
#include "tap.h"

static u32 ms_of_call(const struct subject *s)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	s->r_brk();
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (u32)((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
}

struct answer {
	struct nt_bell *bell;
	u32 before; /* rbrk before the call: the thread may start late */
};

static void *answerer(void *arg)
{
	struct answer *a = arg;
	struct nt_bell *bell = a->bell;

	while (at_load_acq(&bell->rbrk) == a->before)
		usleep(100);
	usleep(20000);
	at_store_rel(&bell->rbrk_done, at_load(&bell->rbrk));
	syscall(SYS_futex, &bell->rbrk_done, FUTEX_WAKE, 100, NULL, NULL, 0);
	return NULL;
}

static u32 answered_ms(const struct subject *s)
{
	struct answer a = { subject_bell(s), subject_bell(s)->rbrk };
	pthread_t t;
	u32 ms;

	pthread_create(&t, NULL, answerer, &a);
	ms = ms_of_call(s);
	pthread_join(t, NULL);
	return ms;
}

/* Slow, but it gets on: seven tenths of a second. */
static void *slow(void *arg)
{
	struct nt_bell *bell = arg;

	for (int i = 0; i < 14; i++) {
		usleep(50000);
		at_add(&bell->alive, 1);
	}
	at_store_rel(&bell->rbrk_done, at_load(&bell->rbrk));
	syscall(SYS_futex, &bell->rbrk_done, FUTEX_WAKE, 100, NULL, NULL, 0);
	return NULL;
}

/* What a thread that is sent to fn_hold has, and must have afterwards. */
struct context {
	u64 reg[14]; /* rax rcx rdx rsi rdi r8-r15 rbp */
	u64 flags;
	u64 red_zone[16];
};

#define CARRY_AND_OVERFLOW 0x801ull

/* Loads c, goes to hold, and what is there afterwards is in c. */
static __attribute__((naked)) void go_to_hold(void (*hold)(void), u64 *hold_pc, struct context *c)
{
	__asm__("push %%rbx\n\tpush %%rbp\n\tpush %%r12\n\tpush %%r13\n\tpush %%r14\n\tpush %%r15\n\t"
		"lea -256(%%rsp), %%rsp\n\t"
		"mov %%rdx, %%rbx\n\t"
		"push %%rdi\n\t"
		"lea 1f(%%rip), %%rax\n\t"
		"mov %%rax, (%%rsi)\n\t"
		"mov $16, %%ecx\n\t"
		"2: mov %c[red](%%rbx, %%rcx, 8), %%rax\n\t"
		"mov %%rax, -136(%%rsp, %%rcx, 8)\n\t"
		"dec %%ecx\n\t"
		"jnz 2b\n\t"
		"mov 0x08(%%rbx), %%rcx\n\tmov 0x10(%%rbx), %%rdx\n\tmov 0x18(%%rbx), %%rsi\n\t"
		"mov 0x20(%%rbx), %%rdi\n\tmov 0x28(%%rbx), %%r8\n\tmov 0x30(%%rbx), %%r9\n\t"
		"mov 0x38(%%rbx), %%r10\n\tmov 0x40(%%rbx), %%r11\n\tmov 0x48(%%rbx), %%r12\n\t"
		"mov 0x50(%%rbx), %%r13\n\tmov 0x58(%%rbx), %%r14\n\tmov 0x60(%%rbx), %%r15\n\t"
		"mov 0x68(%%rbx), %%rbp\n\t"
		"mov $0x7fffffff, %%eax\n\tadd $0x7fffffff, %%eax\n\tstc\n\t" /* overflow, carry */
		"mov (%%rbx), %%rax\n\t"
		"jmp *(%%rsp)\n\t"
		"1: mov %%rax, (%%rbx)\n\t"
		"mov %%rcx, 0x08(%%rbx)\n\tmov %%rdx, 0x10(%%rbx)\n\tmov %%rsi, 0x18(%%rbx)\n\t"
		"mov %%rdi, 0x20(%%rbx)\n\tmov %%r8, 0x28(%%rbx)\n\tmov %%r9, 0x30(%%rbx)\n\t"
		"mov %%r10, 0x38(%%rbx)\n\tmov %%r11, 0x40(%%rbx)\n\tmov %%r12, 0x48(%%rbx)\n\t"
		"mov %%r13, 0x50(%%rbx)\n\tmov %%r14, 0x58(%%rbx)\n\tmov %%r15, 0x60(%%rbx)\n\t"
		"mov %%rbp, 0x68(%%rbx)\n\t"
		"mov $16, %%ecx\n\t"
		"3: mov -136(%%rsp, %%rcx, 8), %%rax\n\t"
		"mov %%rax, %c[red](%%rbx, %%rcx, 8)\n\t"
		"lea -1(%%rcx), %%ecx\n\t" /* keeps the flags, as all of this does */
		"jrcxz 4f\n\t"
		"jmp 3b\n\t"
		"4: pushfq\n\t"
		"pop %c[flags](%%rbx)\n\t"
		"lea 264(%%rsp), %%rsp\n\t"
		"pop %%r15\n\tpop %%r14\n\tpop %%r13\n\tpop %%r12\n\tpop %%rbp\n\tpop %%rbx\n\t"
		"ret"
		:
		: [red] "i"(offsetof(struct context, red_zone) - 8), [flags] "i"(offsetof(struct context, flags)));
}

static void test_hold(const struct subject *s)
{
	struct answer a = { subject_bell(s), subject_bell(s)->rbrk };
	struct context c, before;
	u32 seq = s->state->rbrk_seq;
	pthread_t t;

	for (u32 i = 0; i < 14; i++)
		c.reg[i] = 0x1111111111111111ull * (i + 1);
	for (u32 i = 0; i < 16; i++)
		c.red_zone[i] = ~(u64)i;
	before = c;
	pthread_create(&t, NULL, answerer, &a);
	go_to_hold(s->hold, &s->state->hold_pc, &c);
	pthread_join(t, NULL);
	tap_ok(s->state->rbrk_seq == seq + 1, "a thread that is sent to the hold rings and comes back");
	tap_ok(!memcmp(c.reg, before.reg, sizeof(c.reg)), "with all its registers");
	tap_ok(!memcmp(c.red_zone, before.red_zone, sizeof(c.red_zone)), "and its red zone");
	tap_ok((c.flags & CARRY_AND_OVERFLOW) == CARRY_AND_OVERFLOW, "and its flags");
}

static void *liar(void *arg)
{
	struct nt_bell *bell = arg;

	while (at_load(&bell->waiting) != 2)
		at_add(&bell->rbrk_done,
		       0x80000001u); /* half of the values say yes: make them all say no */
	return NULL;
}

static void on_alarm(int sig)
{
}

int main(void)
{
	const struct subject *s = subject_new();
	struct nt_bell *bell = subject_bell(s);
	struct itimerval on = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}};
	struct sigaction sa = {.sa_handler = on_alarm};
	u32 rung = bell->rung, ms;
	pthread_t t;

	ms = answered_ms(s);
	tap_ok(ms >= 15 && ms < 190, "waits for the answer: %u ms", ms);
	tap_ok(s->state->rbrk_seq == 1 && bell->rbrk == 1 && bell->rung == rung + 1,
	       "counted and rung");
	bell->rbrk = bell->rbrk_done = 0xffffffff; /* the counters wrap */
	ms = answered_ms(s);
	tap_ok(ms >= 15 && ms < 190 && bell->rbrk == 0, "the counter may wrap: %u ms", ms);

	ms = ms_of_call(s);
	tap_ok(ms >= 190 && ms < 1500, "no answer: gives up after %u ms", ms);
	ms = ms_of_call(s);
	tap_ok(ms < 150, "does not wait for a broker that did not answer: %u ms", ms);
	tap_eq(bell->rbrk, 2, "but tells it");
	ms = answered_ms(s);
	tap_ok(ms < 150, "not even if it would: %u ms", ms);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &on, NULL);
	ms = ms_of_call(s);
	setitimer(ITIMER_REAL, &off, NULL);
	tap_ok(ms >= 190 && ms < 1500, "after a sign of life it waits again, signals or not: %u ms",
	       ms);

	bell->rbrk_done = bell->rbrk - 0x7ffffff0u;
	pthread_create(&t, NULL, liar, bell);
	ms = ms_of_call(s);
	at_store(&bell->waiting, 2);
	pthread_join(t, NULL);
	tap_ok(ms < 1500, "a word that changes all the time does not hold us: %u ms", ms);

	s->local->rbrk_gave_up = 0;
	bell->rbrk_done = bell->rbrk;
	pthread_create(&t, NULL, slow, bell);
	ms = ms_of_call(s);
	pthread_join(t, NULL);
	tap_ok(ms >= 600 && ms < 2500, "waits for a broker that is busy but gets on: %u ms", ms);
	test_hold(s);
	s->state->flags |= NT_STATE_NO_SYSCALL;
	rung = bell->rbrk;
	ms = ms_of_call(s);
	tap_ok(ms < 150 && bell->rbrk == rung, "no wait where the kernel must not be entered: %u ms",
	       ms);
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
	s->state->bell = 0;
	tap_ok(ms_of_call(s) < 150, "no bell, no wait");
	tap_eq(s->state->rbrk_seq, 11, "all calls are counted");
	return tap_done();
}
