/* SPDX-License-Identifier: MIT */
/* Starting a victim, talking to it, ending it. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/types.h"
#include "tap.h"

struct victim {
	pid_t pid;
	int in, out;
	char text[16384]; /* what it said after "ready" */
	size_t len;
};

__attribute__((unused)) static u64 test_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

__attribute__((unused)) static void test_sleep_us(u64 us)
{
	struct timespec ts = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* Reads until a line break is in text or ms have passed. */
static bool victim_read_line(struct victim *v, int ms)
{
	struct pollfd p = {.fd = v->out, .events = POLLIN};

	while (!memchr(v->text, '\n', v->len)) {
		ssize_t n;

		if (poll(&p, 1, ms) <= 0)
			return false;
		n = read(v->out, v->text + v->len, sizeof(v->text) - 1 - v->len);
		if (n <= 0)
			return false;
		v->len += (size_t)n;
		v->text[v->len] = 0;
	}
	return true;
}

/* Starts argv (argv[0] a path or a name in PATH); prepare runs in the child before. */
__attribute__((unused)) static bool victim_start(struct victim *v, char *const *argv, void (*prepare)(void))
{
	int in[2], out[2];

	*v = (struct victim){.in = -1, .out = -1};
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return false;
	fflush(stdout);
	v->pid = fork();
	if (v->pid < 0)
		return false;
	if (!v->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		if (prepare)
			prepare();
		execvp(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	v->in = in[1];
	v->out = out[0];
	if (!victim_read_line(v, 20000) || strncmp(v->text, "ready ", 6)) {
		kill(v->pid, SIGKILL);
		waitpid(v->pid, NULL, 0);
		close(v->in);
		close(v->out);
		return false;
	}
	v->len = 0;
	v->text[0] = 0;
	return true;
}

/* Has it ended by itself? Its status is kept for victim_end(). */
__attribute__((unused)) static bool victim_dead(struct victim *v)
{
	siginfo_t si = {0};

	return waitid(P_PID, (id_t)v->pid, &si, WEXITED | WNOHANG | WNOWAIT) || si.si_pid;
}

/* Where its threads are, for whoever has to find out why it does not end. */
static void victim_show_threads(const struct victim *v)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "cd /proc/%d/task && grep -s '' */syscall */wchan */stack | sed 's/^/# /'; "
		 "grep -s -H -E 'State|Tracer|SigPnd|ShdPnd' */status | sed 's/^/# /'", v->pid);
	fflush(stdout);
	if (system(cmd))
		printf("# (cannot look)\n");
}

/* Tells it to end, collects what it says. Returns its wait status, -1 when it does not end within ms (then killed). */
__attribute__((unused)) static int victim_end(struct victim *v, int ms)
{
	u64 until = test_now_ms() + (u64)ms;
	int status = -1;
	pid_t w;

	if (v->in >= 0)
		close(v->in);
	for (;;) {
		struct pollfd p = {.fd = v->out, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, 50) > 0 && v->len < sizeof(v->text) - 1) {
			n = read(v->out, v->text + v->len, sizeof(v->text) - 1 - v->len);
			v->len += n > 0 ? (size_t)n : 0;
		}
		v->text[v->len] = 0;
		w = waitpid(v->pid, &status, WNOHANG);
		if (w == v->pid || w < 0)
			break;
		if (test_now_ms() > until) {
			victim_show_threads(v);
			kill(v->pid, SIGKILL);
			waitpid(v->pid, &status, 0);
			status = -1;
			break;
		}
	}
	for (ssize_t n; v->len < sizeof(v->text) - 1; v->len += (size_t)n) {
		n = read(v->out, v->text + v->len, sizeof(v->text) - 1 - v->len);
		if (n <= 0)
			break;
	}
	v->text[v->len] = 0;
	close(v->out);
	v->in = v->out = -1;
	return w < 0 ? -1 : status;
}

/* The number behind "NAME " at the start of a line of what it said; -1 none. */
__attribute__((unused)) static long long victim_number(const struct victim *v, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = v->text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		if (!strncmp(p, name, n) && p[n] == ' ')
			return atoll(p + n + 1);
	return -1;
}

/* A program of tests/victims. */
__attribute__((unused)) static const char *victim_path(const char *name)
{
	static char path[512];
	const char *dir = getenv("VICTIMS");

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", name);
	return path;
}
