/* SPDX-License-Identifier: MIT */
/*
 * What attaching and detaching N functions by one link costs. The loader: "attach/N" and "detach/N"
 * are how long its calls take while the target sleeps, with "-busy" while a thread of it does
 * nothing but call the functions in turn. "first-hit/N": what a hit costs that is the first one of its function since the
 * attach, the mean of N. The target: "pause-seen/N" is the longest time between
 * two calls that this thread saw, "pause/N" how long the target stood still: notrap says so itself,
 * for the kernel it is what the thread saw.
 */
#include "bench.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The pause that notrap reports for a process; < 0 = it does not say. */
static double reported_pause(const struct bench *b, pid_t pid)
{
	json_t *root, *processes, *p;
	char command[4200];
	double ns = -1;
	size_t i;
	FILE *f;

	snprintf(command, sizeof(command), "'%s' ps --json 2>>'%s'", b->notrap, b->log);
	f = popen(command, "re");
	if (!f)
		return -1;
	root = json_loadf(f, 0, NULL);
	pclose(f);
	processes = json_object_get(root, "processes");
	json_array_foreach(processes, i, p)
	{
		json_t *pause = json_object_get(p, "pause_ns");

		if (json_integer_value(json_object_get(p, "pid")) == pid && pause)
			ns = json_number_value(pause);
	}
	json_decref(root);
	return ns;
}

static void add(struct bench *b, const char *what, unsigned int n, enum contender c, double ns)
{
	char name[64];

	snprintf(name, sizeof(name), "%s/%u", what, n);
	if (bench_wants(b, name))
		results_add(&b->results, name, c, "ns", ns);
}

/* After the attach every function must count once per sweep. *ret_ns: what the sweep took. */
static int check_sweep(struct bench *b, unsigned int n, enum contender c, struct child *victim,
		       struct child *loader, uint64_t *ret_ns)
{
	uint64_t before, after;
	char name[64];
	int err;

	err = child_ask(loader, &before, "count");
	if (!err)
		err = child_ask(victim, ret_ns, "sweep %u", n);
	if (!err)
		err = child_ask(loader, &after, "count");
	if (!err && after - before != n) {
		snprintf(name, sizeof(name), "attach/%u", n);
		results_error(&b->results, name, c, "ns", "WRONG COUNT: %llu of %u",
			      (unsigned long long)(after - before), n);
	}
	return err;
}

/* Once while the target sleeps, for the time that the calls take... */
static int measure_asleep(struct bench *b, unsigned int n, enum contender c, struct child *victim,
			  struct child *loader)
{
	uint64_t attach, detach, sweep;
	int err;

	err = child_ask(loader, &attach, "attach");
	if (!err)
		err = check_sweep(b, n, c, victim, loader, &sweep);
	if (!err)
		err = child_ask(loader, &detach, "detach");
	if (err)
		return err;
	add(b, "attach", n, c, attach);
	add(b, "detach", n, c, detach);
	add(b, "first-hit", n, c, (double)sweep / n);
	return 0;
}

/* ... and once while it calls the very functions, for what it feels. */
static int measure_busy(struct bench *b, unsigned int n, enum contender c, struct child *victim,
			struct child *loader)
{
	uint64_t attach, gap, detach, sweep;
	double pause;
	int err;

	err = child_ask(victim, &gap, "spin %u", n);
	if (!err)
		err = child_ask(loader, &attach, "attach");
	if (!err)
		err = child_ask(victim, &gap, "gap");
	pause = c == NOTRAP ? reported_pause(b, victim->pid) : (double)gap;
	if (!err)
		err = check_sweep(b, n, c, victim, loader, &sweep);
	if (!err)
		err = child_ask(loader, &detach, "detach");
	if (err)
		return err;
	add(b, "attach-busy", n, c, attach);
	add(b, "detach-busy", n, c, detach);
	add(b, "pause-seen", n, c, gap);
	if (pause >= 0)
		add(b, "pause", n, c, pause);
	return 0;
}

static int measure_loader(struct bench *b, unsigned int n, enum contender c, struct child *victim)
{
	struct child loader = {};
	int err;

	err = bench_loader(b, c, "atomic", "entry", victim->pid, "m_*", n, &loader);
	if (!err)
		err = measure_asleep(b, n, c, victim, &loader);
	if (!err)
		err = measure_busy(b, n, c, victim, &loader);
	child_stop(&loader);
	return err;
}

/* What the spinning thread sees anyway. */
static int measure_bare(struct bench *b, unsigned int n, struct child *victim)
{
	uint64_t gap;
	int err;

	err = child_ask(victim, &gap, "spin %u", n);
	if (err)
		return err;
	usleep(50000);
	err = child_ask(victim, &gap, "gap");
	if (!err)
		add(b, "pause-seen", n, BARE, gap);
	return err;
}

static void measure(struct bench *b, unsigned int n, enum contender c)
{
	struct child victim;
	char name[64];
	int err;

	err = bench_victim(b, &victim);
	if (!err) {
		err = c == BARE ? measure_bare(b, n, &victim) : measure_loader(b, n, c, &victim);
		child_stop(&victim);
	}
	if (!err)
		return;
	snprintf(name, sizeof(name), "attach/%u", n);
	results_error(&b->results, name, c, "ns", "%s (see %s)", strerror(-err), b->log);
}

void bench_attaching(struct bench *b)
{
	static const unsigned int sizes[] = {1, 100, 1000, 10000, 50000};
	static const char *const what[] = {"attach",	  "detach", "attach-busy",
					   "detach-busy", "first-hit", "pause",  "pause-seen"};
	size_t s, w;
	int round, c;

	for (s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		char name[64];
		bool any = false;

		for (w = 0; w < sizeof(what) / sizeof(*what); w++) {
			snprintf(name, sizeof(name), "%s/%u", what[w], sizes[s]);
			any |= bench_wants(b, name);
		}
		for (round = 0; any && round < b->rounds; round++)
			for (c = 0; c < CONTENDERS; c++)
				if (b->takes_part[c])
					measure(b, sizes[s], c);
		results_show(&b->results);
	}
}
