/* SPDX-License-Identifier: MIT */
/*
 * acrobat: a victim that does what processes do at the wrong moment, a command a line, answered by "done". All results
 * are checked (victim.h); calls are counted in shared memory.
 *
 *     run N              N rounds in this thread
 *     storm WHAT MS      for MS milliseconds: "threads" made and joined, "forks", "vforks" (of /bin/true), "spawns"
 *     split              forks a child; "child COMMAND" is obeyed by it
 *     exec               runs this program anew
 *     reserve            takes all address space near its code
 *     mappings           as many mappings as a process may have
 *     limit files|memory not one descriptor, not one page more
 *     sleep / wake       a thread waits in a system call whose instruction ends the window of a probe; one in the loop
 *                        of a function that only jumps runs until then
 *     pester / leave     a thread waits again and again in a system call that is a function's first instruction, and
 *                        is called out of it by signals / until then
 *     filter             a seccomp filter under which the calls of an attach would kill it
 *     mdwe / nnp         nothing may become executable that was not / no new privileges, for it and its children
 *     where              "where ADDRESS" of v_jmp
 *     total              "total N": rounds so far, children included, exec not
 */
#include "calls.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <spawn.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

/* read(2) as a function whose first five bytes end with the system call: a thread that waits in it stands right behind,
 * but goes on two bytes before when it was disturbed. */
long acrobat_read(int fd, void *buf, size_t n, long nr);
__asm__(".text\n.balign 16\n.globl acrobat_read\n.type acrobat_read, @function\n"
	"acrobat_read: mov %rcx, %rax\n syscall\n ret\n.size acrobat_read, . - acrobat_read\n.balign 16, 0xcc\n");

/* One whose first instruction is the system call: a signal's handler returns a thread that waited in it to right behind. */
long acrobat_call_read(int fd, void *buf, size_t n, long nr);
__asm__(".text\n.balign 16\n.type acrobat_call_read, @function\n"
	"acrobat_call_read: mov %rcx, %rax\n call acrobat_call\n ret\n.size acrobat_call_read, . - acrobat_call_read\n"
	".balign 16\n.globl acrobat_call\n.type acrobat_call, @function\n"
	"acrobat_call: syscall\n mov %rax, %rdx\n mov %rdx, %rax\n ret\n.size acrobat_call, . - acrobat_call\n"
	".balign 16, 0xcc\n");

struct acrobat {
	int wake[2];
	pthread_t sleeper, hopper, pestered, pester;
	bool awake, left;
	uint64_t *total; /* shared with children */
	pid_t child;
	FILE *to, *from;
};

static void rounds(struct acrobat *a, uint64_t n)
{
	uint64_t count[VICTIM_NFUNCS] = {0};

	for (uint64_t x = 0; x < n; x++)
		victim_round(x, count);
	__atomic_fetch_add(a->total, n, __ATOMIC_RELAXED);
}

static void *one_round(void *arg)
{
	rounds(arg, 1);
	return NULL;
}

static void threads(struct acrobat *a)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, one_round, a))
			victim_wrong("pthread_create");
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

static void reap(pid_t pid)
{
	int status;

	if (pid < 0)
		victim_wrong("no child: errno %d", errno);
	if (waitpid(pid, &status, 0) != pid)
		victim_wrong("waitpid: errno %d", errno);
	if (status)
		victim_wrong("a child ended with %#x", status);
}

static void forks(struct acrobat *a)
{
	pid_t pid = fork();

	if (!pid) {
		rounds(a, 3);
		_exit(0);
	}
	reap(pid);
}

static void vforks(struct acrobat *a)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	rounds(a, 1);
	reap(pid);
}

static void spawns(struct acrobat *a)
{
	char *argv[] = {"true", NULL};
	pid_t pid;

	if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ))
		victim_wrong("posix_spawn");
	rounds(a, 1);
	reap(pid);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool storm(struct acrobat *a, const char *what, uint64_t ms)
{
	void (*act)(struct acrobat *) = !strcmp(what, "threads") ? threads : !strcmp(what, "forks") ? forks
				      : !strcmp(what, "vforks") ? vforks : !strcmp(what, "spawns") ? spawns : NULL;

	for (uint64_t end = now_ms() + ms; act && now_ms() < end;)
		act(a);
	return act;
}

/* What is free within 3 GiB on both sides; a page at a time at the end, so that nothing is left. */
static void reserve(void)
{
	uint64_t here = (uint64_t)reserve & ~0xfffull, reach = 3ull << 30;

	for (uint64_t size = 1ull << 30; size >= 4096; size /= 8)
		for (uint64_t at = here > reach ? (here - reach) & ~(size - 1) : size; at < here + reach; at += size)
			mmap((void *)at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			     -1, 0);
}

/* Every second page readable: no two can be merged. */
static void mappings(void)
{
	char *p = mmap(NULL, 1ull << 31, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	for (uint64_t at = 4096; p != MAP_FAILED && at < 1ull << 31; at += 8192)
		if (mprotect(p + at, 4096, PROT_READ))
			return;
	victim_wrong("there is no limit");
}

static void limit(bool files)
{
	struct rlimit rl = {0};
	char text[64];
	FILE *f;

	if (files) {
		rl.rlim_cur = rl.rlim_max = 3;
	} else {
		f = fopen("/proc/self/statm", "r");
		if (!f || !fgets(text, sizeof(text), f))
			victim_wrong("statm");
		fclose(f);
		rl.rlim_cur = rl.rlim_max = strtoull(text, NULL, 10) * 4096;
	}
	if (setrlimit(files ? RLIMIT_NOFILE : RLIMIT_AS, &rl))
		victim_wrong("setrlimit");
}

static void *sleep_in_call(void *arg)
{
	struct acrobat *a = arg;
	char byte = 0;
	long r = acrobat_read(a->wake[0], &byte, 1, SYS_read);

	if (r != 1 || byte != 'w')
		victim_wrong("acrobat_read = %ld", r);
	return NULL;
}

static void *hop(void *arg)
{
	struct acrobat *a = arg;

	for (uint64_t x = 0; !__atomic_load_n(&a->awake, __ATOMIC_RELAXED); x++)
		for (int i = 0; i < 1000; i++)
			if (v_jmp(x) != x + 11)
				victim_wrong("v_jmp(%#lx)", x);
	return NULL;
}

static void sleep_and_hop(struct acrobat *a)
{
	a->awake = false;
	if (pipe(a->wake) || pthread_create(&a->sleeper, NULL, sleep_in_call, a) ||
	    pthread_create(&a->hopper, NULL, hop, a))
		victim_wrong("no threads");
}

static void wake(struct acrobat *a)
{
	__atomic_store_n(&a->awake, true, __ATOMIC_RELAXED);
	if (write(a->wake[1], "w", 1) != 1)
		victim_wrong("write");
	pthread_join(a->sleeper, NULL);
	pthread_join(a->hopper, NULL);
	close(a->wake[0]);
	close(a->wake[1]);
}

static void on_pester(int sig)
{
	(void)sig;
}

static void *be_pestered(void *arg)
{
	struct acrobat *a = arg;
	char byte = 0;
	long r;

	while ((r = acrobat_call_read(a->wake[0], &byte, 1, SYS_read)) == -EINTR)
		;
	if (r != 1 || byte != 'w')
		victim_wrong("acrobat_call_read = %ld", r);
	return NULL;
}

static void *do_pester(void *arg)
{
	struct acrobat *a = arg;

	while (!__atomic_load_n(&a->left, __ATOMIC_RELAXED)) {
		pthread_kill(a->pestered, SIGUSR2);
		nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	}
	return NULL;
}

static void pester(struct acrobat *a)
{
	struct sigaction sa = {.sa_handler = on_pester}; /* no SA_RESTART */

	a->left = false;
	if (sigaction(SIGUSR2, &sa, NULL) || pipe(a->wake) || pthread_create(&a->pestered, NULL, be_pestered, a) ||
	    pthread_create(&a->pester, NULL, do_pester, a))
		victim_wrong("no threads");
}

static void leave(struct acrobat *a)
{
	__atomic_store_n(&a->left, true, __ATOMIC_RELAXED);
	pthread_join(a->pester, NULL);
	if (write(a->wake[1], "w", 1) != 1)
		victim_wrong("write");
	pthread_join(a->pestered, NULL);
	close(a->wake[0]);
	close(a->wake[1]);
}

static void filter(void)
{
	static const long forbidden[] = {SYS_mmap, SYS_socketpair, SYS_madvise, SYS_recvmsg, SYS_munmap};
	struct sock_filter code[32];
	unsigned n = 0;
	struct sock_fprog prog = {.filter = code};

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)forbidden[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		victim_wrong("seccomp: errno %d", errno);
}

static int obey_all(struct acrobat *a, FILE *in, FILE *out, char **argv);

static void split(struct acrobat *a, char **argv)
{
	int to[2], from[2];

	if (pipe(to) || pipe(from))
		victim_wrong("pipe");
	a->child = fork();
	if (!a->child) {
		struct acrobat b = {.total = a->total};

		close(to[1]);
		close(from[0]);
		_exit(obey_all(&b, fdopen(to[0], "r"), fdopen(from[1], "w"), argv));
	}
	close(to[0]);
	close(from[1]);
	a->to = fdopen(to[1], "w");
	a->from = fdopen(from[0], "r");
}

static void tell_child(struct acrobat *a, const char *line)
{
	char text[512];

	if (fprintf(a->to, "%s", line) < 0 || fflush(a->to) || !fgets(text, sizeof(text), a->from) || strcmp(text, "done\n"))
		victim_wrong("the child says nothing");
}

static int obey_all(struct acrobat *a, FILE *in, FILE *out, char **argv)
{
	char line[512], what[32];
	unsigned long n;

	setvbuf(out, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), in)) {
		if (!strncmp(line, "total", 5)) {
			fprintf(out, "total %lu\n", *a->total);
			continue;
		}
		if (!strncmp(line, "where", 5)) {
			fprintf(out, "where %p\n", (void *)(uintptr_t)v_jmp);
			continue;
		}
		if (sscanf(line, "run %lu", &n) == 1)
			rounds(a, n);
		else if (sscanf(line, "storm %31s %lu", what, &n) == 2) {
			if (!storm(a, what, n))
				return 2;
		} else if (!strncmp(line, "split", 5))
			split(a, argv);
		else if (!strncmp(line, "child ", 6) && a->to)
			tell_child(a, line + 6);
		else if (!strncmp(line, "exec", 4)) {
			execv("/proc/self/exe", argv);
			return 2;
		} else if (!strncmp(line, "reserve", 7))
			reserve();
		else if (!strncmp(line, "mappings", 8))
			mappings();
		else if (!strncmp(line, "limit ", 6))
			limit(!strncmp(line + 6, "files", 5));
		else if (!strncmp(line, "sleep", 5))
			sleep_and_hop(a);
		else if (!strncmp(line, "wake", 4))
			wake(a);
		else if (!strncmp(line, "pester", 6))
			pester(a);
		else if (!strncmp(line, "leave", 5))
			leave(a);
		else if (!strncmp(line, "filter", 6))
			filter();
		else if (!strncmp(line, "mdwe", 4)) {
			if (prctl(65 /* PR_SET_MDWE */, 1 /* PR_MDWE_REFUSE_EXEC_GAIN */, 0, 0, 0))
				return 0;
		} else if (!strncmp(line, "nnp", 3)) {
			if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
				return 0;
		}
		else
			return 2;
		fprintf(out, "done\n");
	}
	if (a->to) {
		fclose(a->to);
		reap(a->child);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct acrobat a = {0};

	(void)argc;
	victim_begin();
	setvbuf(stdin, NULL, _IONBF, 0); /* what is not read yet is for the program after an exec */
	a.total = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (a.total == MAP_FAILED)
		return 2;
	victim_ready();
	return obey_all(&a, stdin, stdout, argv);
}
