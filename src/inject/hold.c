/* SPDX-License-Identifier: MIT */
/*
 * Several stops and loans with one tracer. Between them the threads run, but a signal that comes for one stops it until
 * we look again; so that must not take long.
 */
#include "inject/internal.h"

struct hold {
	int (*fn)(void *arg);
	void *arg;
};

static s64 do_hold(struct inject_target *t, void *arg)
{
	struct hold *h = arg;
	struct inject_urgency u; /* ends with this thread */
	int r;

	inject_urgency_begin(&u);
	r = h->fn(h->arg);
	inject_release_last(t); /* who has met a signal meanwhile */
	return r;
}

int inject_hold(struct inject_target *t, int (*fn)(void *arg), void *arg)
{
	struct hold h = {.fn = fn, .arg = arg};
	int r;

	if (t->willing || t->stopped || t->borrowed >= 0 || t->held || inject_tracer_begin(t))
		return fn(arg);
	t->nthreads = 0;
	t->held = true;
	r = (int)inject_tracer_finish(t, do_hold, &h);
	t->held = false;
	t->nthreads = 0;
	return r;
}
