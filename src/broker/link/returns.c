/* SPDX-License-Identifier: MIT */
#include "broker/link/returns.h"

#include <errno.h>
#include <stdlib.h>

#include "util/fd.h"
#include "util/log.h"

static bool site_returns(const struct batch *b, const struct region_site *s)
{
	const struct region_shape *shape = &b->shape[s->shape];
	bool returns = false;

	for (u32 i = 0; i < shape->n; i++)
		returns |= shape->consumer[i].at_return || shape->consumer[i].session;
	return returns && s->plan->entry && !s->error;
}

int returns_note(struct batch *b)
{
	u32 n = 0;

	for (u32 i = 0; i < b->nplaced; i++)
		n += site_returns(b, &b->placed[i]);
	if (!n)
		return 0;
	b->region.ret = malloc(n * sizeof(*b->region.ret));
	if (!b->region.ret)
		return -ENOMEM;
	for (u32 i = 0; i < b->nplaced; i++)
		if (site_returns(b, &b->placed[i]))
			b->region.ret[b->region.nret++] =
				(struct code_return){ .site = b->placed_site[i]->id, .round = b->placed_site[i]->round,
						      .meta = b->placed[i].meta_off };
	return 0;
}

/* One word of each meta that changes, in one write for all of them: what lies in between stays as it is. */
static void write_word(struct process *p, const struct code_region *r, u32 first, u32 last, u8 *bytes)
{
	u64 lo = r->ret[first].meta, hi = r->ret[last].meta + sizeof(struct nt_slot_meta);
	int e = inject_write(&p->target, r->base + lo, bytes, hi - lo);

	if (e)
		log_error("pid %d (%s): pending returns go to an older list: %d", p->pid, p->comm, e);
}

/* The new meta of this site, if it is one that moved to `to`, and not after a time without consumers. */
static u64 moved_to(const struct batch *b, const struct code_region *to, const struct code_return *from)
{
	const struct module_patch *mp = from->site < b->m->npatch ? &b->m->patch[from->site] : NULL;

	if (!mp || mp->region != to || b->placed_site[mp->placed]->round != from->round)
		return 0;
	return to->base + mp->meta_off;
}

static struct nt_slot_meta *meta_at(u8 *bytes, const struct code_region *r, u32 first, u32 i)
{
	return (struct nt_slot_meta *)(bytes + (r->ret[i].meta - r->ret[first].meta));
}

static void region_forward(struct batch *b, const struct code_region *r, const struct code_region *to)
{
	u32 first = ~0u, last = 0;
	u8 *bytes free_auto = NULL;
	u64 size;

	for (u32 i = 0; i < r->nret; i++)
		if (moved_to(b, to, &r->ret[i])) {
			first = first == ~0u ? i : first;
			last = i;
		}
	if (first == ~0u)
		return;
	size = r->ret[last].meta - r->ret[first].meta + sizeof(struct nt_slot_meta);
	bytes = malloc(size);
	if (!bytes || inject_read(&b->p->target, r->base + r->ret[first].meta, bytes, size))
		return;
	for (u32 i = first; i <= last; i++)
		if (moved_to(b, to, &r->ret[i]))
			meta_at(bytes, r, first, i)->newer = moved_to(b, to, &r->ret[i]);
	write_word(b->p, r, first, last, bytes);
	for (u32 i = first; i <= last; i++) /* only now: who goes there finds newer */
		if (moved_to(b, to, &r->ret[i]))
			meta_at(bytes, r, first, i)->exit = r->base + r->follow_off;
	write_word(b->p, r, first, last, bytes);
}

void returns_forward(struct batch *b, const struct code_region *to)
{
	for (struct code_region *r = b->p->regions; r; r = r->next)
		if (r != to && r->module == b->m && r->nret && r->follow_off)
			region_forward(b, r, to);
}
