/* SPDX-License-Identifier: MIT */
/* What catching (catch.c) and hunting (hunt.c) have in common: the target is opened only when a thread of it stands. */
#include "inject/internal.h"

int inject_caught_borrow(struct inject_target *t, int i)
{
	int r = inject_open_files(t);

	if (!r)
		r = inject_remote_begin(t, &t->thread[i]);
	if (!r)
		t->borrowed = i;
	return r;
}

int inject_caught_open(struct inject_target *t, s64 (*fn)(struct inject_target *, void *), void *arg, struct inject_target *ret)
{
	int r;

	inject_urgency_begin(&t->urgency);
	r = (int)inject_tracer_run(t, fn, arg);
	if (r) {
		inject_urgency_end(&t->urgency);
		inject_close(t);
		return r;
	}
	*ret = *t;
	return 0;
}
