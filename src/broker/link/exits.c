/* SPDX-License-Identifier: MIT */
#include "broker/link/exits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "broker/link/site.h"
#include "util/elf.h"
#include "util/fd.h"
#include "util/log.h"

struct wanted { /* the rets of all targets, one after the other */
	u64 *off;
	u32 *target;
	u32 n, cap;
};

static void wanted_deinit(struct wanted *w)
{
	free(w->off);
	free(w->target);
}

static int wanted_add(struct wanted *w, u64 off, u32 target)
{
	if (w->n == w->cap) {
		u32 cap = w->cap ? 2 * w->cap : 64;
		u64 *off_more = realloc(w->off, cap * sizeof(*off_more));
		u32 *target_more = NULL;

		if (off_more) {
			w->off = off_more;
			target_more = realloc(w->target, cap * sizeof(*target_more));
		}
		if (!target_more)
			return -ENOMEM;
		w->target = target_more;
		w->cap = cap;
	}
	w->off[w->n] = off;
	w->target[w->n++] = target;
	return 0;
}

static bool calls_through(const struct site *s)
{
	return s->plan.form != PATCH_REFUSED && s->plan.entry && s->plan.ret_reason == PATCH_OK;
}

/* Is there code of a function at all? */
static bool may_have_rets(const struct patch_plan *p)
{
	return p->form != PATCH_REFUSED || (p->reason != PATCH_R_NOT_CODE && p->reason != PATCH_R_GO);
}

static int target_rets(struct link *l, u32 i, struct wanted *w, u8 *reason)
{
	const struct patch_plan *p = &l->site[i]->plan;
	u64 rets[PATCH_RETS_MAX], off;
	u32 n = 0;
	u8 why = p->reason;
	int r = 0;

	if (may_have_rets(p))
		why = (u8)patch_function_rets(l->binary->analysis, p->vaddr, rets, PATCH_RETS_MAX, &n);
	if (reason)
		reason[i] = why;
	for (u32 k = 0; k < n && !r && !why; k++)
		r = util_elf_offset(l->binary->elf, rets[k], &off) ? -ENOENT : wanted_add(w, off, i);
	return r;
}

/* All rets of a target, or none: w[from, to) is one target's. */
static u8 group_reason(struct site *const *site, u32 from, u32 to)
{
	for (u32 i = from; i < to; i++)
		if (site[i]->plan.form == PATCH_REFUSED)
			return site[i]->plan.reason;
	return PATCH_OK;
}

static int join_sites(struct link *l, const struct wanted *w, struct site *const *site, bool spare, u8 *reason)
{
	struct exits *x = calloc(1, sizeof(*x) + w->n * sizeof(x->consumer[0]));
	struct site **all = realloc(l->site, (l->nsites + w->n) * sizeof(struct site *));

	if (all)
		l->site = all;
	if (!x || !all) {
		free(x);
		return -ENOMEM;
	}
	x->first = l->nsites;
	for (u32 from = 0, to; from < w->n; from = to) {
		u8 why;

		for (to = from + 1; to < w->n && w->target[to] == w->target[from];)
			to++;
		why = group_reason(site, from, to);
		if (reason && why)
			reason[w->target[from]] = why;
		for (u32 i = from; i < to && !why; i++) {
			struct consumer *c = &x->consumer[x->n++];

			*c = (struct consumer){ .link = l, .index = w->target[i], .exit = true, .spare = spare };
			l->site[l->nsites++] = site[i];
			site_add_consumer(site[i], c);
		}
	}
	x->next = l->exits;
	l->exits = x;
	return 0;
}

int exits_join(struct link *l, bool spare, u8 *reason)
{
	struct wanted w util_cleanup(wanted_deinit) = { .n = 0 };
	struct site **site free_auto = NULL;
	int r = 0;

	for (u32 i = 0; i < l->n && !r && l->binary->analysis; i++)
		if (calls_through(l->site[i]) == spare)
			r = target_rets(l, i, &w, reason);
	if (r || !w.n)
		return r;
	site = malloc(w.n * sizeof(struct site *));
	r = site ? binary_sites(l->binary, w.off, w.n, site) : -ENOMEM;
	return r ? r : join_sites(l, &w, site, spare, reason);
}

const struct consumer *exits_consumer(const struct link *l, u32 k)
{
	const struct exits *x = l->exits;

	while (k - x->first >= x->n)
		x = x->next;
	return &x->consumer[k - x->first];
}

void exits_leave(struct link *l)
{
	while (l->exits) {
		struct exits *x = l->exits;

		l->exits = x->next;
		for (u32 i = 0; i < x->n; i++)
			site_remove_consumer(l->site[x->first + i], &x->consumer[i]);
		free(x);
	}
	l->nsites = l->n;
}

bool exits_spare(struct binary *b, struct engine *e)
{
	u32 before = b->nsites;
	struct link *l;

	if (b->rets_too)
		return false;
	b->rets_too = true;
	DL_FOREACH(e->links, l)
		if (l->binary == b && l->at_return && exits_join(l, true, NULL))
			log_error("link %llu: no memory for its returns", (unsigned long long)l->id);
	return b->nsites != before;
}
