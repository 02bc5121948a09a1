/* SPDX-License-Identifier: MIT */
/*
 * The tracer dies between hearing of a signal of the target's and handing it on: the signal has to arrive all the same, with
 * what was sent with it, once.
 */
#include <signal.h>
#include <sys/mman.h>

#include "inject/internal.h"
#include "victim_run.h"

struct seen {
	unsigned n;
	int value;
	pid_t from;
};

static struct seen *seen; /* shared with the target */

static void on_signal(int sig, siginfo_t *si, void *context)
{
	seen->value = si->si_value.sival_int;
	seen->from = si->si_pid;
	__atomic_add_fetch(&seen->n, 1, __ATOMIC_RELEASE);
}

static pid_t start_target(void)
{
	pid_t pid = fork();

	if (!pid) {
		struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigaction(SIGUSR2, &sa, NULL);
		seen->n = 1; /* it can be told now */
		for (;;)
			pause();
	}
	while (pid > 0 && !__atomic_load_n(&seen->n, __ATOMIC_ACQUIRE))
		test_sleep_us(100);
	seen->n = 0;
	return pid;
}

/* Seizes the target, says so, and says when a stop has come. */
static void trace(pid_t pid, int say)
{
	struct inject_target t;
	enum inject_event ev;
	int i, sig = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (inject_open(pid, &t))
		_exit(1);
	i = inject_thread_add(&t, pid);
	if (i < 0 || inject_thread_seize(&t, &t.thread[i]) || write(say, "s", 1) != 1)
		_exit(2);
	ev = inject_thread_wait(&t, &t.thread[i], inject_now_ns() + 5000 * INJECT_MS, &sig);
	if (write(say, ev == INJECT_SIGNAL && sig == SIGUSR2 ? "h" : "?", 1) != 1)
		_exit(3);
	for (;;)
		pause();
}

static void test_signal(void)
{
	pid_t pid = start_target(), tracer;
	char said = 0;
	int p[2];

	if (!tap_ok(pid > 0 && !pipe(p), "a target"))
		return;
	fflush(stdout);
	tracer = fork();
	if (!tracer)
		trace(pid, p[1]);
	close(p[1]);
	tap_ok(read(p[0], &said, 1) == 1 && said == 's', "is traced");
	sigqueue(pid, SIGUSR2, (union sigval){.sival_int = 4711});
	tap_ok(read(p[0], &said, 1) == 1 && said == 'h', "the tracer hears of a signal");
	tap_eq(seen->n, 0, "which the target has not got yet");
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	for (int i = 0; i < 2000 && !__atomic_load_n(&seen->n, __ATOMIC_ACQUIRE); i++)
		test_sleep_us(1000);
	test_sleep_us(20000);
	tap_eq(seen->n, 1, "the tracer is killed: the signal arrives, once");
	tap_eq(seen->value, 4711, "with its value");
	tap_eq(seen->from, getpid(), "and its sender");
	close(p[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		return 99;
	test_signal();
	return tap_done();
}
