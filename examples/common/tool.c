/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <bpf/libbpf.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t tool_stopped;

double tool_parse_seconds(const char *arg, struct argp_state *state)
{
	char *end;
	double s = strtod(arg, &end);

	if (*end || end == arg || !(s > 0) || s > 1e9)
		argp_error(state, "'%s' is not a number of seconds", arg);
	return s;
}

int tool_parse_positive(const char *arg, const char *what, struct argp_state *state)
{
	char *end;
	long n = strtol(arg, &end, 10);

	if (*end || end == arg || n <= 0 || n > 1 << 30)
		argp_error(state, "'%s' is not a %s", arg, what);
	return n;
}

double tool_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void on_signal(int sig)
{
	tool_stopped = 1;
}

static int print_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	return vfprintf(stderr, format, args);
}

void tool_init(bool verbose)
{
	struct sigaction sa = {.sa_handler = on_signal};

	libbpf_set_print(verbose ? print_libbpf : NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

int tool_watch(int pid)
{
	return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

bool tool_wait(double until, int watched)
{
	struct pollfd p = {.fd = watched, .events = POLLIN};
	struct timespec ts;
	double left;

	while (!tool_stopped && (left = until - tool_now()) > 0) {
		if (left > 3600)
			left = 3600;
		ts.tv_sec = left;
		ts.tv_nsec = (left - ts.tv_sec) * 1e9;
		if (ppoll(&p, 1, &ts, NULL) > 0)
			return false;
	}
	return !tool_stopped;
}
