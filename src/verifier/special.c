/* SPDX-License-Identifier: MIT */
/*
 * Objects on the stack that only helpers and kernel functions may touch: dynptrs (two slots) and
 * open-coded iterators (one or two). A program that writes over one destroys it; one that reads it
 * is refused. An object that holds something (a ring buffer record; the iterator itself) has a
 * reference that must be given back. Follows mark_stack_slots_dynptr() and mark_stack_slots_iter()
 * of the kernel.
 *
 * In a slot: spill.type VREG_DYNPTR or VREG_ITER; spill.frame 0 in the slot at the object's address,
 * 1 in the one above it; spill.map which kind; spill.id a dynptr's own number, which its slices
 * carry; spill.ref the reference; an iterator's spill.size is 1 when it is drained, spill.delta the
 * number of rounds.
 */
#include <errno.h>

#include "verifier/env.h"

bool vspecial_is(const struct vreg *spill)
{
	return spill->type == VREG_DYNPTR || spill->type == VREG_ITER;
}

struct vslot *vspecial_slot(struct venv *env, u32 regno, u32 nslots)
{
	const struct vreg *r = vreg_of(env, regno);
	struct vframe *f;
	s64 off = vreg_fixed_off(r);
	u32 i;

	if (r->type != VREG_STACK || !range_is_const(&r->v) || off % 8 || off >= 0 || off < -(s64)EBPF_MAX_STACK ||
	    off + 8 * (s64)nslots > 0)
		return NULL;
	f = env->cur.frame[r->frame];
	i = (u32)(-off / 8 - 1);
	return i < f->nslots ? &f->slot[i] : NULL;
}

/* Slices of a dynptr become plain numbers when it is gone. */
static void forget_slices(struct vstate *st, u32 dynptr)
{
	u32 f, i;

	for (f = 0; f < st->nframes; f++) {
		struct vframe *fr = st->frame[f];

		for (i = 0; i < 10; i++)
			if (fr->r[i].type == VREG_MEM && fr->r[i].map == dynptr)
				vreg_set_unknown(&fr->r[i]);
		for (i = 0; i < fr->nslots; i++)
			if (fr->slot[i].spill.type == VREG_MEM && fr->slot[i].spill.map == dynptr)
				vreg_set_unknown(&fr->slot[i].spill);
	}
}

static bool ref_is_held_twice(const struct vframe *f, u32 ref)
{
	u32 i, n = 0;

	for (i = 0; i < f->nslots; i++)
		n += f->slot[i].spill.type == VREG_DYNPTR && !f->slot[i].spill.frame && f->slot[i].spill.ref == ref;
	return n > 1;
}

static void clear_slot(struct vslot *s)
{
	vreg_set_none(&s->spill);
	s->spill_size = 0;
	s->known_mask = s->zero_mask = 0;
	s->init_mask = 0;
}

int vspecial_overwrite(struct venv *env, struct vframe *f, u32 i)
{
	struct vreg *spill = &f->slot[i].spill;
	u32 first, id;

	if (spill->type != VREG_DYNPTR)
		return 0;
	if (spill->ref && !ref_is_held_twice(f, spill->ref)) {
		vlog(env, "cannot overwrite referenced dynptr\n");
		return -EINVAL;
	}
	first = spill->frame ? i + 1 : i;
	id = spill->id;
	clear_slot(&f->slot[first]);
	clear_slot(&f->slot[first - 1]);
	forget_slices(&env->cur, id);
	return 0;
}

void vspecial_drop_dynptrs(struct vstate *st, u32 ref)
{
	u32 f, i;

	for (f = 0; f < st->nframes; f++) {
		struct vframe *fr = st->frame[f];

		for (i = 0; i < fr->nslots; i++) {
			struct vreg *s = &fr->slot[i].spill;

			if (s->type != VREG_DYNPTR || s->ref != ref)
				continue;
			if (!s->frame)
				forget_slices(st, s->id);
			clear_slot(&fr->slot[i]);
		}
	}
}

void vspecial_drop_iter(struct vslot *first, u32 nslots)
{
	u32 i;

	for (i = 0; i < nslots; i++)
		clear_slot(first - i);
}

int vspecial_put(struct venv *env, u32 regno, u32 nslots, const struct vreg *object)
{
	const struct vreg *r = vreg_of(env, regno);
	u32 frame = r->frame, i, first = (u32)(-vreg_fixed_off(r) / 8 - 1);
	struct vspan span;
	struct vframe *f;
	int err = vstack_span(env, regno, 0, nslots * 8, VACCESS_WRITE, &span);

	if (!err)
		err = vstack_clobber_span(env, frame, &span);
	if (err)
		return err;
	f = env->cur.frame[frame];
	for (i = 0; i < nslots; i++) {
		struct vslot *s = &f->slot[first - i];

		clear_slot(s);
		s->spill = *object;
		s->spill.frame = (u8)i;
		s->spill_size = 8;
		s->init_mask = 0xff;
	}
	return 0;
}
