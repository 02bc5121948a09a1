/* SPDX-License-Identifier: MIT */
/*
 * What a hit costs: a loop calls a probed function, and the contenders take turns, round by round,
 * so that whatever else the machine does meets all of them. The number is the whole call, the hit
 * included; the column "no probe" is the call alone. Every number is only worth something when each
 * call was counted, so the counts are compared with the calls made.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOWS 5      /* the median of these is a round's sample */
#define WINDOW_NS 8e6 /* each about this long */
#define WARM_UP_CALLS 200

#define CALM_TRIES 30	   /* windows with a busy neighbour are repeated so often */
#define CALM_LIMIT 1.06
#define CALM_PATIENCE 50 /* windows that stayed restless: then this machine is never calm */

static const char *const first_insn[] = {"push", "nop5", "endbr64"};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* How much slower than in its best time the victim's core is: 1 = it has it to itself. */
static int ask_unrest(struct bench *b, struct child *victim, double *ret)
{
	uint64_t ns;
	int err = child_ask(victim, &ns, "calm");

	if (err)
		return err;
	if (!b->calm || ns < b->calm)
		b->calm = ns;
	*ret = (double)ns / b->calm;
	return 0;
}

/*
 * One window, in nanoseconds per call. Virtual CPUs are often threads of one core, and a busy neighbour, who may be
 * another machine, takes half of it: a hit, which is many short instructions, then takes half as long again. Whom that
 * meets is chance, so such windows are repeated; if there is no calm one, the calmest counts.
 */
static int time_window(struct bench *b, struct child *victim, const char *function, uint64_t n, uint64_t *calls,
		       double *ret)
{
	int tries = b->restless < CALM_PATIENCE ? CALM_TRIES : 1;
	double least = 0;

	b->windows++;
	for (int i = 0; i < tries; i++) {
		double before, after;
		uint64_t ns;
		int err = ask_unrest(b, victim, &before);

		if (!err)
			err = child_ask(victim, &ns, "call %s %llu", function, (unsigned long long)n);
		if (!err)
			err = ask_unrest(b, victim, &after);
		if (err)
			return err;
		*calls += n;
		if (after < before)
			after = before;
		if (!i || after < least) {
			least = after;
			*ret = (double)ns / n;
		}
		if (least < CALM_LIMIT)
			return 0;
	}
	b->restless++;
	return 0;
}

/* Nanoseconds per call of one function; adds the calls made to *calls. */
static int time_function(struct bench *b, struct child *victim, const char *function, uint64_t *calls, double *ret)
{
	double window[WINDOWS], guess;
	uint64_t ns, n = WARM_UP_CALLS;
	int i, err;

	/* Twice: the second time nothing is done for the first time any more. */
	for (i = 0; i < 2; i++) {
		err = child_ask(victim, &ns, "call %s %llu", function, (unsigned long long)n);
		if (err)
			return err;
		*calls += n;
	}
	guess = (double)ns / n;
	n = WINDOW_NS / (guess > 1 ? guess : 1) + 1;
	for (i = 0; i < WINDOWS; i++) {
		err = time_window(b, victim, function, n, calls, &window[i]);
		if (err)
			return err;
	}
	qsort(window, WINDOWS, sizeof(*window), by_value);
	*ret = window[WINDOWS / 2];
	return 0;
}

struct group {
	const char *family; /* "hit", "hit-single", ... */
	const char *kind;   /* "entry", "return", "session" */
	const char *program;
	const char *manner;  /* of the loader */
	const char *pattern; /* functions that are probed */
	int functions;	     /* that are timed: the first so many of first_insn */
};

static void case_name(const struct group *g, int function, char *ret, size_t size)
{
	snprintf(ret, size, "%s/%s/%s/%s", g->family, g->kind, g->program, first_insn[function]);
}

static void blame(struct bench *b, const struct group *g, enum contender c, const char *what,
		  int err)
{
	char name[64];
	int f;

	for (f = 0; f < g->functions; f++) {
		case_name(g, f, name, sizeof(name));
		if (bench_wants(b, name))
			results_error(&b->results, name, c, "ns", "%s: %s (see %s)", what,
				      strerror(-err), b->log);
	}
}

/* Was every call counted? The empty program cannot tell. */
static void check_count(struct bench *b, const struct group *g, enum contender c,
			struct child *loader, uint64_t calls)
{
	uint64_t count, want = strcmp(g->kind, "session") ? calls : 2 * calls;
	char name[64];
	int err;

	if (!strcmp(g->program, "empty"))
		return;
	err = child_ask(loader, &count, "count");
	if (err) {
		blame(b, g, c, "count", err);
	} else if (count != want) {
		case_name(g, 0, name, sizeof(name));
		results_error(&b->results, name, c, "ns", "WRONG COUNT: %llu of %llu",
			      (unsigned long long)count, (unsigned long long)want);
	}
}

static void measure(struct bench *b, const struct group *g, enum contender c, struct child *victim)
{
	struct child loader = {};
	uint64_t calls = 0, ns;
	char name[64], function[32];
	double per_call;
	int f, err = 0;

	if (c != BARE) {
		err =
		    bench_loader(b, c, g->program, g->manner, victim->pid, g->pattern, 3, &loader);
		if (!err)
			err = child_ask(&loader, &ns, "attach");
		if (err)
			blame(b, g, c, "attach", err);
	}
	for (f = 0; f < g->functions && !err; f++) {
		case_name(g, f, name, sizeof(name));
		if (!bench_wants(b, name))
			continue;
		snprintf(function, sizeof(function), "b_%s", first_insn[f]);
		err = time_function(b, victim, function, &calls, &per_call);
		if (err)
			blame(b, g, c, "the victim", err);
		else
			results_add(&b->results, name, c, "ns", per_call);
	}
	if (c != BARE && !err)
		check_count(b, g, c, &loader, calls);
	child_stop(&loader);
}

static bool wanted(const struct bench *b, const struct group *g)
{
	char name[64];
	int f;

	for (f = 0; f < g->functions; f++) {
		case_name(g, f, name, sizeof(name));
		if (bench_wants(b, name))
			return true;
	}
	return false;
}

static void run_round(struct bench *b, const struct group *g, struct child *victim)
{
	for (int c = 0; c < CONTENDERS; c++)
		if (b->takes_part[c])
			measure(b, g, c, victim);
}

static void run_group(struct bench *b, const struct group *g)
{
	struct child victim;
	int round, err;

	for (round = 0; round < b->rounds && wanted(b, g); round++) {
		err = bench_victim(b, &victim);
		if (err) {
			blame(b, g, BARE, "the victim", err);
			continue;
		}
		run_round(b, g, &victim);
		child_stop(&victim);
	}
	results_show(&b->results);
}

/*
 * Two groups that must be equal. What a neighbour makes of a call differs more than they may, so they take turns
 * in one victim, who begins changes from round to round, and there are more rounds.
 */
static void run_pair(struct bench *b, const struct group pair[2])
{
	struct child victim;
	int round, i, err, rounds = b->rounds * 3 < MAX_SAMPLES ? b->rounds * 3 : MAX_SAMPLES;

	for (round = 0; round < rounds && (wanted(b, &pair[0]) || wanted(b, &pair[1])); round++) {
		err = bench_victim(b, &victim);
		for (i = 0; i < 2; i++) {
			const struct group *g = &pair[i ^ (round & 1)];

			if (err)
				blame(b, g, BARE, "the victim", err);
			else if (wanted(b, g))
				run_round(b, g, &victim);
		}
		if (!err)
			child_stop(&victim);
	}
	results_show(&b->results);
}

void bench_hits(struct bench *b)
{
	static const char *const kinds[] = {"entry", "return", "session"};
	static const char *const programs[] = {"empty",	 "array", "atomic",
					       "percpu", "hash",  "ringbuf"};
	size_t k, p;

	for (k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		for (p = 0; p < sizeof(programs) / sizeof(*programs); p++) {
			struct group g = {"hit", kinds[k], programs[p], kinds[k], "b_*", 3};

			run_group(b, &g);
		}
	}
	/* One function, by a link with one target and by a single uprobe: it must make no
	 * difference. */
	for (k = 0; k < 2; k++) {
		struct group pair[] = {
		    {"hit-multi", kinds[k], "array", kinds[k], "b_push", 1},
		    {"hit-single", kinds[k], "array", k ? "return-single" : "entry-single",
		     "b_push", 1},
		};

		run_pair(b, pair);
	}
}
