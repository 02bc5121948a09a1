/* SPDX-License-Identifier: MIT */
/* The event loop: what a callback may do to sources, its own and others. */
#include "util/loop.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tap.h"

struct pair {
	struct loop_source *source, *other;
	int calls;
};

static void count(struct loop_source *s, u32 events, void *arg)
{
	((struct pair *)arg)->calls++;
}

static void free_both(struct loop_source *s, u32 events, void *arg)
{
	struct pair *p = arg;

	p->calls++;
	loop_source_free(p->other);
	loop_source_free(p->source);
}

static void quit(struct loop_source *s, u32 events, void *arg)
{
	loop_quit(arg);
}

static void nested(struct loop_source *s, u32 events, void *arg)
{
	struct pair *p = arg;
	struct loop *l = (struct loop *)p->other; /* smuggled in */

	if (!p->calls++) {
		loop_source_free(s);
		loop_turn(l, 0);
	}
}

int main(void)
{
	int a = eventfd(1, EFD_CLOEXEC), b = eventfd(1, EFD_CLOEXEC);
	struct pair p = {}, q = {};
	struct loop_source *t;
	struct loop *l;

	tap_eq(loop_new(&l), 0, "a loop");
	tap_eq(loop_turn(l, 0), 0, "nothing to do");
	tap_eq(loop_add(l, a, EPOLLIN, free_both, &p, &p.source), 0, "a source");
	tap_eq(loop_add(l, b, EPOLLIN, free_both, &q, &q.source), 0, "another");
	tap_eq(loop_add(l, a, EPOLLIN, count, &p, &t), -EEXIST, "the same descriptor again");
	p.other = q.source;
	q.other = p.source;
	tap_eq(loop_turn(l, 100), 1, "both are ready, the first call frees both");
	tap_eq(p.calls + q.calls, 1, "so the second is not called");
	tap_eq(loop_turn(l, 0), 0, "nor later");
	p.calls = 0;
	loop_add_timer(l, 5, count, &p, &t);
	for (int i = 0; i < 3; i++)
		loop_turn(l, 1000);
	tap_ok(p.calls >= 2, "a timer keeps coming");
	tap_eq(loop_timer_set(t, 0), 0, "is stopped");
	loop_turn(l, 0);
	p.calls = 0;
	loop_turn(l, 50);
	tap_eq(p.calls, 0, "and silent");
	loop_timer_set(t, 5);
	loop_turn(l, 1000);
	tap_eq(p.calls, 1, "until it is set again");
	loop_source_free(t);
	p = (struct pair){.other = (struct loop_source *)l};
	loop_add(l, a, EPOLLIN, nested, &p, &p.source);
	loop_turn(l, 100);
	tap_eq(p.calls, 1, "a round inside a round does not call a freed source");
	loop_add(l, a, EPOLLIN, quit, l, &t);
	tap_eq(loop_run(l), 0, "runs until told to quit");
	loop_free(l); /* with a source left in it */
	loop_free(NULL);
	close(a);
	close(b);
	return tap_done();
}
