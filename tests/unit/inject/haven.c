/* SPDX-License-Identifier: MIT */
/*
 * The tracer is killed (-9) at random moments while it makes system calls in a borrowed thread. The thread must come home
 * by itself: with its registers, its vector registers and its signal mask, out of whatever it was doing.
 *
 *     haven [ROUNDS [SEED]]
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "inject/inject.h"
#include "victim_run.h"

struct shared {
	u64 loops;
	bool stop;
};

/* Values in registers that a system call made for us, or a way home that forgets them, would change. */
static bool loop_is_right(u64 seed)
{
	u64 r12, xmm7, mem = seed * 3;

	__asm__ volatile("mov %[s], %%r12\n\tmovq %[s], %%xmm7\n\tmov $200000, %%ecx\n"
			 "1:\tdec %%ecx\n\tjnz 1b\n\t"
			 "mov %%r12, %[r]\n\tmovq %%xmm7, %[x]"
			 : [r] "=r"(r12), [x] "=r"(xmm7)
			 : [s] "r"(seed)
			 : "rcx", "r12", "xmm7", "cc", "memory");
	return r12 == seed && xmm7 == seed && mem == seed * 3;
}

static void spin(struct shared *s)
{
	sigset_t set, now;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_SETMASK, &set, NULL);
	for (u64 i = 1; !__atomic_load_n(&s->stop, __ATOMIC_RELAXED); i++) {
		if (!loop_is_right(i * 0x9e3779b97f4a7c15ull))
			_exit(4);
		sigprocmask(SIG_SETMASK, NULL, &now);
		if (memcmp(&now, &set, 8))
			_exit(5);
		__atomic_store_n(&s->loops, i, __ATOMIC_RELAXED);
	}
	_exit(0);
}

/* One for each tracer, as each broker has its own: a thread may be on its way home from the last one. */
static u64 make_havens(pid_t pid, int n)
{
	struct inject_target t;
	s64 at = -1;

	if (inject_open(pid, &t))
		return 0;
	if (!inject_borrow(&t)) {
		at = inject_syscall(&t, SYS_mmap, 0, (u64)n * INJECT_HAVEN_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
				    ~0ull, 0);
		inject_give_back(&t);
	}
	inject_close(&t);
	return at > 0 ? (u64)at : 0;
}

/* Borrows and calls without end. */
static void trace(pid_t pid, u64 haven)
{
	struct inject_target t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		if (inject_open(pid, &t))
			_exit(1);
		t.haven = haven;
		for (int i = 0; i < 20; i++) {
			if (inject_borrow(&t))
				continue;
			for (int k = 0; k < 6; k++)
				inject_syscall(&t, SYS_getpid, 1, 2, 3, 4, 5, 6);
			inject_give_back(&t);
		}
		inject_close(&t);
	}
}

static void kill_tracers(pid_t pid, u64 haven, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		pid_t tracer = fork();

		if (!tracer)
			trace(pid, haven + (u64)i * INJECT_HAVEN_SIZE);
		test_sleep_us(500 + (u64)random() % 6000);
		kill(tracer, SIGKILL);
		waitpid(tracer, NULL, 0);
	}
}

static void test_spinner(int rounds)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	u64 haven, before;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		spin(s);
	test_sleep_us(20000);
	haven = make_havens(pid, rounds);
	tap_ok(haven, "a spinning process gets havens");
	kill_tracers(pid, haven, rounds);
	before = s->loops;
	test_sleep_us(200000);
	tap_ok(s->loops > before, "after %d tracers were killed it spins on", rounds);
	s->stop = true;
	waitpid(pid, &status, 0);
	tap_eq(status, 0, "its registers and its signal mask were always its own");
	munmap(s, sizeof(*s));
}

/* 0: undisturbed. */
static int sleep_through(const char *name, int rounds, char said[256])
{
	char path[512], arg[64];
	char *argv[] = {path, arg, NULL};
	struct victim v;
	u64 haven;
	int status;

	snprintf(path, sizeof(path), "%s", victim_path("sleeper"));
	snprintf(arg, sizeof(arg), "%s", name);
	if (!victim_start(&v, argv, NULL)) {
		snprintf(said, 256, "it does not start");
		return -1;
	}
	haven = make_havens(v.pid, rounds);
	kill_tracers(v.pid, haven, rounds);
	status = victim_end(&v, 20000);
	snprintf(said, 256, "%s", v.text);
	return haven ? status : -1;
}

/*
 * What is left to chance (broker/link/steady.c): a call that had just been cut short, and would have been put right. The
 * moment is some microseconds long, and longer for a tracer that waits for a CPU meanwhile. So a call may say EINTR, but not
 * again and again; everything else is wrong at once.
 */
static void test_sleeper(const char *name, int rounds)
{
	char said[256] = "";
	int status;

	for (int tries = 1;; tries++) {
		status = sleep_through(name, rounds, said);
		if (!status || tries == 3 || !strstr(said, strerror(EINTR)))
			break;
		printf("# %s: one of %d tracers was killed between a stop and its repair\n", name, rounds);
	}
	if (!tap_ok(!status, "%s: undisturbed by %d tracers that were killed", name, rounds))
		printf("# status %#x, said: %s\n", status, said);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 60;
	unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : (unsigned)time(NULL);
	static const char *const calls[] = {"nanosleep", "poll", "futex", "read_pipe", "epoll_wait_event", "ppoll_signal"};

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %u\n", seed);
	srandom(seed);
	test_spinner(2 * rounds);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		test_sleeper(calls[i], rounds);
	return tap_done();
}
