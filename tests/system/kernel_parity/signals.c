/* SPDX-License-Identifier: MIT */
/*
 * Programs that send signals to the process they run for, and what that does to a close: who is in a handler then, or stopped,
 * or was in a handler once, does not keep it waiting; and he goes on unharmed when the link is long gone.
 */
#include "parity.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define QUICK_MS 700 /* the kernel takes 30 to 100; a machine that is busy, more */

static volatile sig_atomic_t taken;
static bool sleeps;

static void handler(int sig)
{
	taken = taken + 1;
	if (sleeps)
		poll(NULL, 0, 300);
}

/* Waits with a lot of stack that nobody has written to: an old signal frame is still in it. */
__attribute__((noinline)) static int wait_deep(int fd)
{
	volatile char room[20000];
	char c;

	room[0] = 0;
	return (int)read(fd, &c, 1) + room[0];
}

static int target(int begin, int end, int said)
{
	char c;

	if (read(begin, &c, 1) != 1)
		return 1;
	for (int i = 0; i < 5; i++)
		if (p_0(NULL, NULL) != 40)
			return 2;
	if (write(said, "x", 1) != 1 || wait_deep(end) != 1)
		return 3;
	return p_0(NULL, NULL) == 40 ? 10 + taken : 4;
}

static void signal_case(struct parity *p, const char *name, int sig, u32 flags, bool slow)
{
	int begin[2], end[2], said[2], status, pid, link;
	const struct target t = { p_0, (u64)sig, 0 };
	struct timespec a, b;
	long ms;

	if (pipe(begin) || pipe(end) || pipe(said))
		exit(99);
	sleeps = slow;
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(target(begin[0], end[0], said[1]));
	link = link_targets(p->signaller, LINK_MULTI, flags, pid, &t, 1);
	show(name, link);
	if (write(begin[1], "x", 1) != 1)
		exit(99);
	poll(&(struct pollfd){ .fd = said[0], .events = POLLIN }, 1, sig == SIGSTOP || slow ? 200 : 5000);
	usleep(50000);
	clock_gettime(CLOCK_MONOTONIC, &a);
	close(link);
	clock_gettime(CLOCK_MONOTONIC, &b);
	ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
	fprintf(stderr, "%s: closed in %ld ms\n", name, ms);
	printf("%s: closed at once %d\n", name, ms < QUICK_MS);
	usleep(300000); /* time to take away too much */
	kill(pid, SIGCONT);
	if (write(end[1], "x", 1) != 1)
		exit(99);
	waitpid(pid, &status, 0);
	printf("%s: the target ended with %d, signal %d\n", name, slow ? WEXITSTATUS(status) >= 11 : WEXITSTATUS(status),
	       WTERMSIG(status));
	for (int i = 0; i < 2; i++) {
		close(begin[i]);
		close(end[i]);
		close(said[i]);
	}
}

void signal_cases(struct parity *p)
{
	struct sigaction sa = { .sa_handler = handler };

	sigaction(SIGUSR1, &sa, NULL);
	signal_case(p, "with a handler", SIGUSR1, 0, false);
	signal_case(p, "with a handler, at the return", SIGUSR1, FLAG_RETURN, false);
	signal_case(p, "in a slow handler", SIGUSR1, 0, true);
	signal_case(p, "in a slow handler, at the return", SIGUSR1, FLAG_RETURN, true);
	signal_case(p, "stopped", SIGSTOP, 0, false);
	signal_case(p, "stopped, at the return", SIGSTOP, FLAG_RETURN, false);
	signal_case(p, "ignored", SIGCHLD, 0, false);
}
