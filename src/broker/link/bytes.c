/* SPDX-License-Identifier: MIT */
/* The bytes of a batch: what each of its sites has and gets, put together to whole runs of code, which are read and written
 * at once. */
#include "broker/link/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define RUN_GAP (2u * NT_PAGE) /* changes nearer than this are written in one go */

struct site_bytes {
	u8 at[5], far[PATCH_FAR_MAX];
};

static struct site_bytes original_bytes(const struct site *s)
{
	struct site_bytes b;

	memcpy(b.at, s->plan.orig, sizeof(b.at));
	memcpy(b.far, s->plan.island_orig, sizeof(b.far));
	return b;
}

/* The bytes of a site that has its slot there, in a region at base. */
static int jump_bytes(const struct batch *b, const struct site *s, u64 base, u32 jump_off, u32 victim_off,
		      struct site_bytes *ret)
{
	struct region_site rs = { .plan = &s->plan, .addr = s->plan.vaddr + b->m->bias, .jump_off = jump_off,
				  .victim_off = victim_off };

	return region_site_bytes(&rs, base, s->plan.island + b->m->bias, ret->at, ret->far);
}

static void add_write(struct batch *b, const struct site *s, bool far, const struct site_bytes *old,
		      const struct site_bytes *new, u32 placed)
{
	struct batch_write *w = &b->write[b->nwrites++];

	*w = (struct batch_write){ .addr = (far ? s->plan.island : patch_plan_at(&s->plan)) + b->m->bias,
				   .len = far ? s->plan.far_len : s->plan.patch_len, .placed = placed, .id = s->id, .site = s, .far = far };
	memcpy(w->old, far ? old->far : old->at, w->len);
	memcpy(w->new, far ? new->far : new->at, w->len);
}

static int write_for(struct batch *b, const struct site *s, const struct region_site *to, u32 placed)
{
	const struct module_patch *mp = &b->m->patch[s->id];
	struct site_bytes old = original_bytes(s), new = old;
	int r = 0;

	if (mp->region)
		r = jump_bytes(b, s, mp->region->base, mp->jump_off, mp->victim_off, &old);
	if (!r && to)
		r = jump_bytes(b, s, b->region.base, to->jump_off, to->victim_off, &new);
	if (r)
		return r;
	add_write(b, s, false, &old, &new, placed);
	if (s->plan.far_len)
		add_write(b, s, true, &old, &new, placed);
	return 0;
}

static int compare_writes(const void *x, const void *y)
{
	const struct batch_write *a = x, *b = y;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static int collect_writes(struct batch *b)
{
	u32 p = 0;

	b->nwrites = 0;
	if (!b->write)
		b->write = calloc(2ull * (b->nplaced + b->nleft) + 1, sizeof(*b->write));
	if (!b->write)
		return -ENOMEM;
	for (u32 i = 0; i < b->nplaced; i++) {
		int r;

		site_prefetch(b->placed_site, i, b->nplaced);
		if (b->placed[i].error)
			continue;
		r = write_for(b, b->placed_site[i], &b->placed[i], i);
		if (r == -ERANGE)
			b->placed[i].error = r;
		else if (r)
			return r;
	}
	for (u32 i = 0; i < b->nleft; i++) { /* both lists are in address order */
		int r;

		site_prefetch(b->left, i, b->nleft);
		while (p < b->nplaced && b->placed_site[p]->plan.vaddr < b->left[i]->plan.vaddr)
			p++;
		if (p < b->nplaced && b->placed_site[p] == b->left[i] && !b->placed[p].error)
			continue;
		r = write_for(b, b->left[i], NULL, ~0u);
		if (r)
			return r;
	}
	/* Both lists came in this order; only what lies elsewhere (islands), or one list behind the other, disturbs it. */
	for (u32 i = 1; i < b->nwrites; i++)
		if (compare_writes(&b->write[i - 1], &b->write[i]) > 0) {
			qsort(b->write, b->nwrites, sizeof(*b->write), compare_writes);
			break;
		}
	return 0;
}

static int collect_runs(struct batch *b)
{
	u64 bytes = 0, longest = 0;

	free(b->run);
	free(b->before);
	free(b->after);
	free(b->check);
	b->before = b->after = b->check = NULL;
	b->nruns = 0;
	b->run = calloc(b->nwrites + 1, sizeof(*b->run));
	if (!b->run)
		return -ENOMEM;
	for (u32 i = 0; i < b->nwrites; i++) {
		const struct batch_write *w = &b->write[i];
		struct batch_run *r = b->nruns ? &b->run[b->nruns - 1] : NULL;

		if (!r || w->addr > r->hi + RUN_GAP)
			b->run[b->nruns++] = (struct batch_run){ .lo = w->addr, .hi = w->addr + w->len };
		else
			r->hi = bits_max(r->hi, w->addr + w->len);
	}
	for (u32 i = 0; i < b->nruns; i++) {
		b->run[i].at = bytes;
		bytes += b->run[i].hi - b->run[i].lo;
		longest = bits_max(longest, b->run[i].hi - b->run[i].lo);
	}
	b->before = malloc(bytes + 1);
	b->after = malloc(bytes + 1);
	b->check = malloc(longest + 1);
	return b->before && b->after && b->check ? 0 : -ENOMEM;
}

/* Somebody else's bytes where ours should be, or two sites that want the same island. */
static void find_conflicts(struct batch *b)
{
	u32 r = 0;

	for (u32 i = 0; i < b->nwrites; i++) {
		struct batch_write *w = &b->write[i];
		bool taken = i && w->addr < b->write[i - 1].addr + b->write[i - 1].len;

		while (w->addr >= b->run[r].hi)
			r++;
		if (!taken && !memcmp(b->before + b->run[r].at + (w->addr - b->run[r].lo), w->old, w->len))
			continue;
		if (w->placed != ~0u)
			b->placed[w->placed].error = -EBUSY;
		if (b->m->patch[w->id].region)
			b->m->patch[w->id].busy = true;
	}
}

static void apply_writes(struct batch *b)
{
	u32 r = 0;

	for (u32 i = 0; i < b->nwrites; i++) {
		const struct batch_write *w = &b->write[i];

		while (w->addr >= b->run[r].hi)
			r++;
		if (!b->m->patch[w->id].busy && (w->placed == ~0u || !b->placed[w->placed].error))
			memcpy(b->after + b->run[r].at + (w->addr - b->run[r].lo), w->new, w->len);
	}
}

int batch_prepare_runs(struct batch *b)
{
	u64 bytes;
	int err = collect_writes(b);

	if (!err)
		err = collect_runs(b);
	for (u32 i = 0; i < b->nruns && !err; i++)
		err = inject_read(&b->p->target, b->run[i].lo, b->before + b->run[i].at, b->run[i].hi - b->run[i].lo);
	if (err || !b->nruns)
		return err;
	bytes = b->run[b->nruns - 1].at + b->run[b->nruns - 1].hi - b->run[b->nruns - 1].lo;
	memcpy(b->after, b->before, bytes);
	for (u32 i = 0; i < b->nwrites; i++)
		b->m->patch[b->write[i].id].busy = false;
	find_conflicts(b);
	apply_writes(b);
	return 0;
}
