/* SPDX-License-Identifier: MIT */
/* What a batch leaves behind: the region with its ledger, which is how others find it in the target's memory, and which of
 * the module's sites have what. */
#include "broker/link/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "broker/link/semaphore.h"
#include "util/fd.h"

int batch_make_region(struct batch *b)
{
	struct process *p = b->p;
	u32 bound = (u32)b->region.size; /* of batch_shapes() */
	struct region_layout layout;
	u8 *bytes free_auto = malloc(bound);
	int r;

	if (!bytes)
		return -ENOMEM;
	r = region_build(&p->env, b->shape, b->nshapes, b->placed, b->nplaced, b->region.base, bytes, bound, &layout);
	if (r)
		return r;
	r = inject_write(&p->target, b->region.base, bytes, layout.size);
	if (r)
		return r;
	b->region.code_end = layout.code_end;
	b->region.follow_off = layout.follow_off;
	b->region.ledger_off = layout.ledger_off;
	b->region.nledger = layout.nledger;
	b->region.data = (struct nt_region){ .base = b->region.base, .size = b->region.size, .nsites = b->region.nledger,
					     .ledger_off = layout.ledger_off, .state = NT_REGION_LIVE,
					     .frames_lo = layout.frames_lo, .frames_hi = layout.frames_hi,
					     .eh_frame_hdr = layout.eh_frame_hdr, .seq = p->engine->seq };
	return process_publish_region(p, &b->region, &b->region.data);
}

void batch_drop_region(struct process *p, struct code_region *r)
{
	if (!r->base)
		return;
	r->data = (struct nt_region){ .state = NT_REGION_FREE };
	process_publish_region(p, r, &r->data);
	if (process_give_spare(p, r->base) || process_borrow(p))
		return;
	inject_syscall(&p->target, SYS_munmap, r->base, r->size, 0, 0, 0, 0);
	process_give_back(p);
}

static struct module_patch *left_patch(const struct batch *b, u32 i)
{
	return &b->m->patch[b->left_id[i] & ~BATCH_FAR];
}

static bool leaves(const struct batch *b, u32 i, const struct code_region *r)
{
	const struct module_patch *mp = left_patch(b, i);

	return !mp->busy && mp->region == r;
}

/* Slots were left: their ledger entries must not restore anything any more. One write for all of a region. */
static void ledger_void(struct batch *b, const struct code_region *r)
{
	u64 at = r->base + r->ledger_off, size = r->nledger * sizeof(struct nt_ledger_site);
	struct nt_ledger_site *ledger free_auto = malloc(size + 1);

	if (!ledger || inject_read(&b->p->target, at, ledger, size))
		return;
	for (u32 i = 0; i < b->nleft; i++) {
		u32 first = left_patch(b, i)->ledger, n = 1 + (b->left_id[i] & BATCH_FAR) / BATCH_FAR;

		if (leaves(b, i, r))
			for (u32 k = first; k < first + n && k < r->nledger; k++)
				ledger[k].addr = 0;
	}
	inject_write(&b->p->target, at, ledger, size);
}

static void batch_leave(struct batch *b)
{
	for (struct code_region *r = b->p->regions; r; r = r->next) {
		u32 n = 0;

		for (u32 i = 0; i < b->nleft; i++)
			n += leaves(b, i, r);
		r->live -= n;
		b->m->patched -= n;
		if (n && r->live) /* a region that loses all its sites is retired as a whole */
			ledger_void(b, r);
	}
	for (u32 i = 0; i < b->nleft; i++)
		if (!left_patch(b, i)->busy)
			left_patch(b, i)->region = NULL;
		else if (!batch_site_wanted(b->p, b->left[i])) /* somebody's breakpoint is on our jump, and will be taken out */
			b->p->unfinished = true;
}

/* Only the state changes, and at no moment is the region not there: an unwinder may be on its way through. */
static void regions_retire(struct process *p)
{
	u64 at = p->state + offsetof(struct nt_state, region) + offsetof(struct nt_region, state);

	for (struct code_region *r = p->regions; r; r = r->next)
		if (!r->live && r->data.state == NT_REGION_LIVE) {
			r->data.state = NT_REGION_OLD;
			inject_write(&p->target, at + sizeof(r->data) * r->index, &r->data.state, sizeof(r->data.state));
		}
}

void batch_abandon_region(struct process *p, struct code_region *r)
{
	r->next = p->regions;
	p->regions = r;
	regions_retire(p);
	p->unfinished = true;
}

/* The reference counter is up while somebody is attached, however many they are. */
static void batch_count(struct batch *b, const struct site *s, struct module_patch *mp, bool up)
{
	if (!s->ref_ctr || mp->counted == up)
		return;
	semaphore_add(b->p, b->m->binary, s->ref_ctr, up ? 1 : -1);
	mp->counted = up;
}

void batch_record(struct batch *b, struct code_region *r)
{
	u32 ledger = 0, mine;

	batch_leave(b);
	for (u32 i = 0; i < b->nplaced; i++) {
		struct module_patch *mp = &b->m->patch[b->placed_id[i] & ~BATCH_FAR];

		mine = ledger;
		ledger += 1 + (b->placed_id[i] & BATCH_FAR) / BATCH_FAR;
		if (b->placed[i].error)
			continue;
		*mp = (struct module_patch){ .region = r, .jump_off = b->placed[i].jump_off,
					     .victim_off = b->placed[i].victim_off, .meta_off = b->placed[i].meta_off,
					     .ledger = mine, .placed = i, .counted = mp->counted };
		r->live++;
		b->m->patched++;
		if (b->counts)
			batch_count(b, b->placed_site[i], mp, true);
	}
	for (u32 i = 0; i < b->nleft && b->counts; i++)
		if (!left_patch(b, i)->region)
			batch_count(b, b->left[i], left_patch(b, i), false);
	regions_retire(b->p);
}
