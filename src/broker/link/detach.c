/* SPDX-License-Identifier: MIT */
/*
 * Out of a process, in three steps that most often need one tracer only:
 *
 *   1. the jumps of the link, and those in the dynamic linker when it was the last one
 *   2. all threads looked at once: is one inside? Then they are looked at again and again, without holding them meanwhile
 *   3. the program and its maps unmapped
 */
#include "broker/link/detach.h"

#include <errno.h>
#include <utlist.h>

#include "broker/link/attach.h"
#include "broker/link/linker.h"
#include "broker/link/steady.h"

#define QUIESCE_MS 1000u

struct detach {
	struct link *link;
	struct process *p;
	struct process_prog *pp;
	bool last; /* no other link wants this process */
	bool used; /* its program still is, by another link */
};

static int take_out_modules(const struct detach *d)
{
	int r = 0;

	for (struct module *m = d->p->modules; m && !r; m = m->next)
		if (m->binary == d->link->binary)
			r = attach_module(d->p, m, d->link->site, d->link->nsites);
	return r;
}

static int take_out(const struct detach *d)
{
	int r = take_out_modules(d);

	/* Unmapped since, maybe something else is there: that must not keep us from the file's other mappings. */
	if ((r == -EFAULT || r == -EAGAIN) && process_scan_modules(d->p, d->link->binary) >= 0)
		r = take_out_modules(d);
	if (!r && d->last)
		r = linker_leave_process(d->p);
	return r;
}

/* Nobody is inside any more. With one loan for both. */
static void clear(const struct detach *d)
{
	bool unmap = !d->used && !d->p->unfinished && !d->pp->needed, lent = unmap && !process_borrow(d->p);

	attach_reclaim(d->p);
	if (unmap)
		process_unmap_prog(d->p, d->pp);
	else if (!d->used && d->pp->needed)
		d->p->unfinished = true;
	if (lent)
		process_give_back(d->p);
}

static int steps(void *arg)
{
	struct detach *d = arg;
	int r = take_out(d);

	if (!r)
		r = attach_outside(d->p, 0);
	if (!r)
		clear(d);
	return r;
}

static void detach_process(struct detach *d)
{
	u32 tries = 0;
	int r;

	d->p->pause_ns = 0;
	do
		r = d->link->nsites > ATTACH_MANY ? steps(d) : process_hold(d->p, steps, d);
	while (attach_again(d->p, r, &tries));
	if (r == -ETIMEDOUT) {
		r = take_out(d); /* if it was this that took too long */
		if (!r)
			r = attach_outside(d->p, QUIESCE_MS);
		if (!r)
			clear(d);
	}
	d->p->unfinished |= r != 0;
	for (struct module *m = d->p->modules; m && !r; m = m->next)
		if (m->binary == d->link->binary)
			attach_compact(d->p, m);
}

static bool is_last(const struct engine *e, const struct link *l)
{
	const struct link *other;

	DL_FOREACH(e->links, other)
		if (other != l && !other->closing)
			return false;
	return true;
}

static bool prog_is_used(const struct link *l, const struct process_prog *pp)
{
	const struct link *other;

	DL_FOREACH(l->engine->links, other)
		if (other != l && other->prog == l->prog)
			return true;
	return pp->held;
}

void detach_link(struct link *l)
{
	struct engine *e = l->engine;
	struct process *p, *tmp;

	HASH_ITER(hh, e->processes, p, tmp) {
		struct detach d = { .link = l, .p = p, .last = is_last(e, l) };

		HASH_FIND_INT(p->progs, &l->prog->obj.id, d.pp);
		if (!d.pp)
			continue;
		if (steady_is_orphan(e))
			return; /* the next broker does the rest */
		if (!process_alive(p)) {
			process_forget(p);
			continue;
		}
		d.used = prog_is_used(l, d.pp);
		detach_process(&d);
	}
}
