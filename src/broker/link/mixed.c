/* SPDX-License-Identifier: MIT */
#include "broker/link/mixed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "broker/link/engine.h"
#include "broker/link/in_kernel.h"
#include "broker/object/twin.h"
#include "patch/plan.h"
#include "util/log.h"

static bool is_near_any(const struct link *list, const struct link *l, bool moving_only)
{
	const struct link *other;

	DL_FOREACH(list, other)
		if (other != l && (!moving_only || other->moving) && in_kernel_is_near(other, l))
			return true;
	return false;
}

/* Is that a reason for us and not for the kernel, whose breakpoint covers one byte and is taken by a trap? */
static bool is_ours_alone(u32 reason)
{
	return reason == PATCH_R_TOO_SHORT || reason == PATCH_R_JUMP_INSIDE || reason == PATCH_R_CALL_INSIDE ||
	       reason == PATCH_R_RELOCATE || reason == PATCH_R_OVERLAP || reason == PATCH_R_GO || reason == PATCH_R_GO_FAULT;
}

/* Fills l->why. */
static bool is_refused(struct link *l)
{
	for (u32 i = 0; i < PATCH_NREASONS; i++) {
		if (!l->reason[i])
			continue;
		if (!is_ours_alone(i))
			return false;
		snprintf(l->why, sizeof(l->why), "notrap cannot probe what it is attached to (%s)", patch_reason_name((u8)i));
	}
	return l->n && l->refused == l->n && !l->at_return && !l->session;
}

/* Fills l->why. */
static bool is_kernels(struct link *l, const struct link *joining)
{
	const struct engine *e = l->engine;
	const struct object_map *m = NULL;

	if (!l->prog)
		return false;
	if (l->given_up && is_refused(l))
		return true;
	if (twin_prog_is_kernels(l->prog, &m)) {
		if (m)
			snprintf(l->why, sizeof(l->why), "it uses map %s, as programs in the kernel do", m->name);
		else
			snprintf(l->why, sizeof(l->why), "only the kernel's verifier accepts its program");
		return true;
	}
	if (!is_near_any(e->kernel_links, l, false) && !is_near_any(e->links, l, true) &&
	    !(joining && joining != l && joining->moving && in_kernel_is_near(joining, l)))
		return false;
	snprintf(l->why, sizeof(l->why), "a link in the kernel has the same function");
	return true;
}

bool mixed_is_kernels(struct link *l)
{
	return l->engine->broker->kernel && is_kernels(l, NULL);
}

void mixed_give_up(struct link *l, char *notice, size_t n)
{
	struct engine *e = l->engine;

	if (!e->broker->kernel || !l->prog || !l->prog->twin || l->in_kernel || !is_refused(l))
		return;
	/* Those would have to follow it. */
	if (is_near_any(e->links, l, false) || in_kernel_check(l, notice, n) < 0)
		return;
	l->given_up = true;
	mixed_settle(e->broker, NULL, notice, n);
	l->given_up = false;
}

struct plan {
	struct broker *b;
	struct link *joining;
	struct link *moved; /* of ours, closed: a list */
	char *notice;
	size_t n;
};

static int mark_one(struct plan *p, struct link *l)
{
	int r;

	if (!l->prog->twin) {
		snprintf(p->notice, p->n, "link %llu (%s) would have to go to the kernel, because %s, but was not loaded with "
			 "`notrap run --kernel`", (unsigned long long)l->id, l->prog->name, l->why);
		return -EOPNOTSUPP;
	}
	l->moving = true;
	r = in_kernel_check(l, p->notice, p->n);
	if (r < 0)
		return r;
	r = twin_prog_want(l->prog);
	if (r < 0)
		snprintf(p->notice, p->n, "a map of program %s cannot be made in the kernel: %s", l->prog->name, strerror(-r));
	return r;
}

/* Until nothing more has to go: each link takes maps with it. */
static int mark(struct plan *p)
{
	struct engine *e = p->b->engine;
	struct link *l;
	bool more;
	int r = p->joining ? mark_one(p, p->joining) : 0;

	do {
		more = false;
		DL_FOREACH(e->links, l) {
			if (r || l->moving || !is_kernels(l, p->joining))
				continue;
			r = mark_one(p, l);
			more = true;
		}
	} while (more && !r);
	return r;
}

static int load_one(struct plan *p, struct link *l)
{
	char why[160];
	int r = twin_prog_load_why(l->prog->twin, why, sizeof(why));

	if (r < 0)
		snprintf(p->notice, p->n, "program %s has to go to the kernel (%s), which refuses it: %s%s%s", l->prog->name, l->why,
			 strerror(-r), *why ? ": " : "", why);
	return r;
}

static int load(struct plan *p)
{
	struct link *l;
	int r = p->joining ? load_one(p, p->joining) : 0;

	DL_FOREACH(p->b->engine->links, l)
		if (!r && l->moving)
			r = load_one(p, l);
	return r;
}

static void unmark(struct plan *p)
{
	struct link *l;

	DL_FOREACH(p->b->engine->links, l)
		l->moving = false;
	if (p->joining)
		p->joining->moving = false;
	for (struct object *o = p->b->objects.by_id[OBJECT_MAP]; o; o = o->hh.next)
		if (object_to_map(o)->twin)
			object_to_map(o)->twin->wanted = false;
}

static void close_ours(struct plan *p)
{
	struct link *l, *tmp;

	DL_FOREACH_SAFE(p->b->engine->links, l, tmp) {
		if (!l->moving)
			continue;
		link_leave(l);
		DL_APPEND(p->moved, l);
	}
}

static int own_maps(struct plan *p)
{
	int first = 0;

	for (struct object *o = p->b->objects.by_id[OBJECT_MAP]; o; o = o->hh.next) {
		struct object_map *m = object_to_map(o);
		int r = m->twin && m->twin->wanted ? twin_map_own(m) : 0;

		if (m->twin)
			m->twin->wanted = false;
		if (r < 0 && !first)
			snprintf(p->notice, p->n, "the elements of map %s cannot be moved to the kernel: %s", m->name, strerror(-r));
		first = first ? first : r;
	}
	return first;
}

/* On failure the link is there, and attached to nothing. */
static int open_one(struct plan *p, struct link *l)
{
	struct engine *e = p->b->engine;
	int r = in_kernel_open(l, p->notice, p->n);

	l->moving = false;
	l->closing = false;
	l->in_kernel = true;
	l->refused = 0;
	memset(l->reason, 0, sizeof(l->reason));
	DL_APPEND(e->kernel_links, l);
	log_info("link %llu: %u targets in %s, in the kernel: %s%s%s", (unsigned long long)l->id, l->n, l->path, l->why,
		 r ? ": " : "", r ? strerror(-r) : "");
	return r;
}

int mixed_settle(struct broker *b, struct link *joining, char *notice, size_t n)
{
	struct plan p = {.b = b, .joining = joining, .notice = notice, .n = n};
	struct link *l, *tmp;
	int r = mark(&p), e;

	if (!r)
		r = load(&p);
	if (r) {
		unmark(&p);
		return r;
	}
	close_ours(&p);
	r = own_maps(&p);
	DL_FOREACH_SAFE(p.moved, l, tmp) {
		DL_DELETE(p.moved, l);
		e = open_one(&p, l);
		r = r ? r : e;
	}
	if (joining && !r)
		r = open_one(&p, joining);
	return r;
}
