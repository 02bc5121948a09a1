/* SPDX-License-Identifier: MIT */
/*
 * What all victims share. A victim prints one line "ready PID", then works until its standard input ends or SIGTERM
 * comes, checks every result it computes, and ends with 0, or with 3 and a line that says what was wrong.
 */
#pragma once

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define VICTIM_WRONG 3

static volatile sig_atomic_t victim_told;

static inline bool victim_stop(void)
{
	return __atomic_load_n(&victim_told, __ATOMIC_RELAXED);
}

__attribute__((format(printf, 1, 2), noreturn, unused)) static void victim_wrong(const char *fmt, ...)
{
	va_list ap;

	printf("wrong ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(VICTIM_WRONG);
}

static inline void victim_on_term(int sig)
{
	(void)sig;
	victim_told = 1;
}

/* Before any thread is made: SIGTERM reaches the main thread only, and only while it waits. */
static inline void victim_begin(void)
{
	sigset_t term;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, victim_on_term);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, NULL);
}

static inline void victim_ready(void)
{
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
}

/* Returns when the victim shall end; at most after ms milliseconds when ms >= 0. */
static inline bool victim_wait(int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
	struct pollfd in = {.fd = 0, .events = POLLIN, .revents = 0};
	sigset_t open_mask;
	char byte;

	pthread_sigmask(SIG_BLOCK, NULL, &open_mask);
	sigdelset(&open_mask, SIGTERM);
	while (!victim_told) {
		int n = ppoll(&in, 1, ms < 0 ? NULL : &ts, &open_mask);

		if (n == 0)
			return false;
		if (n > 0 && read(0, &byte, 1) <= 0)
			victim_told = 1;
	}
	return true;
}
