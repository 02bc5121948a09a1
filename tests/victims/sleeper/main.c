/* SPDX-License-Identifier: MIT */
/*
 * sleeper [-l | -n | CASE...]: one thread for each blocking system call that a stop could show to the program, each in a loop
 * of waits of about WAIT_MS. A wait that ends in a way it cannot end by itself (EINTR without a signal, a part of what
 * was asked for), or that ends too early, is reported as "wrong CASE ...", exit 3. -l lists the cases, -n
 * runs all that make no child process. At the end:
 * "waits CASE N", and where a time limit ends the wait "shortest CASE MICROSECONDS", and "mean ...".
 */
#include "sleeper.h"

struct sleeper {
	const struct sleep_case *c;
	pthread_t thread;
	uint64_t waits, shortest, total; /* ns */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;

	while (!victim_stop()) {
		uint64_t begin = now_ns(), took;
		long r;

		errno = 0;
		r = s->c->run();
		took = now_ns() - begin;
		if (r != s->c->want || (r == -1 && errno != s->c->want_errno))
			victim_wrong("%s: %ld errno %d (%s)", s->c->name, r, errno, strerror(errno));
		if (s->c->limited && took < WAIT_MS * 1000000u - (s->c->in_ticks ? TICK_NS : 0))
			victim_wrong("%s: over after %lu us", s->c->name, took / 1000);
		if (!s->waits || took < s->shortest)
			s->shortest = took;
		s->waits++;
		s->total += took;
	}
	return NULL;
}

#define CASES_MAX 128

static size_t all_cases(const struct sleep_case *ret[CASES_MAX])
{
	const struct sleep_case *const table[] = {sleep_waits, sleep_locks, sleep_data, sleep_messages, sleep_signals};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		for (const struct sleep_case *c = table[i]; c->name && n < CASES_MAX; c++)
			ret[n++] = c;
	return n;
}

static bool wanted(const struct sleep_case *c, int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "-n"))
		return !c->child;
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], c->name))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	const struct sleep_case *cases[CASES_MAX];
	struct sleeper s[CASES_MAX] = {0};
	sigset_t usr = usr1();
	size_t n = 0, ncases = all_cases(cases);

	if (argc > 1 && !strcmp(argv[1], "-l")) {
		for (size_t i = 0; i < ncases; i++)
			puts(cases[i]->name);
		return 0;
	}
	victim_begin();
	signal(SIGPIPE, SIG_IGN);
	sleep_signals_begin();
	pthread_sigmask(SIG_BLOCK, &usr, NULL);
	for (size_t i = 0; i < ncases; i++)
		if (wanted(cases[i], argc, argv))
			s[n++].c = cases[i];
	for (size_t i = 0; i < n; i++)
		if (pthread_create(&s[i].thread, NULL, sleeper_main, &s[i]))
			return 2;
	victim_ready();
	victim_wait(-1);
	for (size_t i = 0; i < n; i++) {
		pthread_join(s[i].thread, NULL);
		printf("waits %s %lu\n", s[i].c->name, s[i].waits);
		if (s[i].c->limited && s[i].waits)
			printf("shortest %s %lu\nmean %s %lu\n", s[i].c->name, s[i].shortest / 1000, s[i].c->name,
			       s[i].total / s[i].waits / 1000);
	}
	return n ? 0 : 2;
}


