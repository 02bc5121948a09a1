/* SPDX-License-Identifier: MIT */
/*
 * Which parts of a checkpoint later proofs rest on. Two marks travel from the current path up the
 * chain of checkpoints: "this stack slot is read" stops where the slot was overwritten, "this
 * scalar is needed by value" follows the origins recorded in each checkpoint (see state.h). Both
 * stop at a checkpoint that has the mark already: what is above it was told then.
 */
#include "verifier/env.h"

static bool set_mark(bool *mark)
{
	bool fresh = !*mark;

	*mark = true;
	return fresh;
}

static u64 mark_frame(struct vframe *f, u32 index, u32 top, u64 places, bool hold)
{
	u64 next = 0;
	u32 i;

	for (i = 0; i < 10; i++) {
		struct vreg *r = &f->r[i];

		if (vreg_is_scalar(r) && vorigin_reg(index, top, i) & places &&
		    set_mark(hold ? &r->held : &r->precise))
			next |= r->origin;
	}
	for (i = 0; i < f->nslots; i++) {
		struct vslot *s = &f->slot[i];

		if (vorigin_slot(index, i) & places && set_mark(hold ? &s->held : &s->precise))
			next |= s->origin | s->spill.origin;
	}
	return next;
}

static void mark_up(struct vnode *node, u64 origin, bool hold)
{
	u32 i;

	for (; node && origin; node = node->st.parent) {
		u64 *done = hold ? &node->held : &node->demanded;
		u64 next = 0;

		origin &= ~*done;
		*done |= origin;
		for (i = 0; origin && i < node->st.nframes; i++)
			next |= mark_frame(node->st.frame[i], i, node->st.nframes - 1, origin, hold);
		origin = next;
	}
}

void vorigin_demand(struct venv *env, u64 origin)
{
	mark_up(env->cur.parent, origin, false);
}

void vorigin_hold(struct vnode *node, u64 origin)
{
	mark_up(node, origin, true);
}

void vorigin_stack_read(const struct vstate *st, u32 frame, u64 slots)
{
	struct vnode *node;

	slots &= ~st->frame[frame]->written;
	for (node = st->parent; node && slots; node = node->st.parent) {
		struct vframe *f;

		if (frame >= node->st.nframes)
			return;
		f = node->st.frame[frame];
		slots &= ~f->read;
		f->read |= slots;
		slots &= ~f->written;
	}
}

void vorigin_restart(struct vstate *st)
{
	u32 f, i, top = st->nframes - 1;

	for (f = 0; f < st->nframes; f++) {
		struct vframe *fr = st->frame[f];

		fr->written = 0;
		for (i = 0; i < 10; i++)
			fr->r[i].origin = vreg_is_scalar(&fr->r[i]) ? vorigin_reg(f, top, i) : 0;
		for (i = 0; i < fr->nslots; i++) {
			struct vslot *s = &fr->slot[i];
			u64 bit = vorigin_slot(f, i);

			s->origin = bit;
			s->spill.origin = vreg_is_scalar(&s->spill) ? bit : 0;
		}
	}
}
