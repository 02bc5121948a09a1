/* SPDX-License-Identifier: MIT */
/*
 * Threads go on. Those whose call begins again are let go of only inside of it (land.c), all others at once, or they are
 * kept for the next stop (inject_hold()): they run, but a signal that comes for one stops it until we look again.
 */
#include "inject/internal.h"

static void release_one(struct inject_target *t, struct inject_thread *th, bool keep)
{
	int sig;

	if (th->seized && !th->stopped && inject_thread_poll(t, th, &sig) == INJECT_SIGNAL)
		th->sig = sig;
	if (th->stopped && !inject_thread_regs(th) && inject_repair(th))
		t->repaired++;
	if (inject_land_begin(th) || (keep && (!th->stopped || inject_thread_go_on(t, th))))
		return;
	inject_thread_detach(t, th);
}

void inject_release(struct inject_target *t, bool keep)
{
	for (u32 i = 0; i < t->nthreads; i++)
		release_one(t, &t->thread[i], keep);
	if (t->stopped)
		t->stop_end_ns = inject_now_ns();
	inject_land_all(t);
}

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
	inject_release(t, false); /* who has met a signal meanwhile */
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
	r = (int)inject_tracer_run(t, do_hold, &h);
	t->held = false;
	inject_tracer_end(t);
	t->nthreads = 0;
	return r;
}
