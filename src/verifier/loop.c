/* SPDX-License-Identifier: MIT */
/*
 * Loops whose end no state shows, because something outside the program counts: a helper that calls
 * back, an open-coded iterator, may_goto. The walk goes round such a loop until a state at its head
 * (the helper's call, the call of iter_next, the may_goto) lies inside one that an earlier round had
 * there. What was or will be proven behind the earlier one holds for it, too, and the path ends.
 *
 *     head  S1 ----> behind the loop (walked first: it shows which numbers matter)
 *       |
 *      body
 *       |
 *     head  S2, numbers that have changed and do not matter: unknown now
 *       |
 *      body
 *       |
 *     head  S3 lies inside S2: done
 *
 * Three rules keep this sound.
 * Progress: S3 may lean on S2 only if the same instance of a counter has been advanced in between, so
 * that every round of the cycle takes one of the rounds that the counter has. A counter's instance is
 * the iterator, the call of the helper, or the function's frame for may_goto.
 * Marks: S2 is not finished, so nobody knows yet what matters in it. Everything that S3 was compared
 * with counts as mattering from now on, in S2 and on the way to S3 (struct vreg.held).
 * Dependence: a checkpoint on the way from S2 to S3 is proven only if S2 is. As long as S2 is not
 * finished, it serves only states of the same instances that are as far advanced.
 */
#include "verifier/env.h"

static bool slot_is_iter(const struct vslot *s)
{
	return s->spill.type == VREG_ITER && !s->spill.frame;
}

enum advance { ADVANCE_OTHER, ADVANCE_BEHIND, ADVANCE_SAME, ADVANCE_AHEAD };

static enum advance compare_depth(u32 old, u32 cur)
{
	return cur > old ? ADVANCE_AHEAD : cur == old ? ADVANCE_SAME : ADVANCE_BEHIND;
}

struct progress {
	bool ahead;  /* a counter of both is further in cur */
	bool behind; /* a counter is not the same, or further in old */
};

static void note(struct progress *p, enum advance a)
{
	p->ahead |= a == ADVANCE_AHEAD;
	p->behind |= a == ADVANCE_BEHIND || a == ADVANCE_OTHER;
}

static void compare_iters(const struct vframe *old, const struct vframe *cur, struct progress *p)
{
	u32 i, n = old->nslots < cur->nslots ? old->nslots : cur->nslots;

	for (i = 0; i < n; i++) {
		const struct vreg *a = &old->slot[i].spill, *b = &cur->slot[i].spill;

		if (!slot_is_iter(&old->slot[i]) || !slot_is_iter(&cur->slot[i]))
			continue;
		note(p, a->ref != b->ref ? ADVANCE_OTHER : compare_depth((u32)a->delta, (u32)b->delta));
	}
}

static struct progress progress_of(const struct vstate *old, const struct vstate *cur)
{
	struct progress p = {0};
	u32 f;

	for (f = 0; f < old->nframes && f < cur->nframes; f++) {
		const struct vframe *a = old->frame[f], *b = cur->frame[f];

		if (a->instance != b->instance) {
			p.behind = true;
			break;
		}
		note(&p, compare_depth(a->goto_depth, b->goto_depth));
		if (a->loop != b->loop)
			p.behind = true;
		else if (a->loop)
			note(&p, compare_depth(a->loop_depth, b->loop_depth));
		compare_iters(a, b, &p);
	}
	return p;
}

bool vloop_progressed(const struct vstate *old, const struct vstate *cur)
{
	return progress_of(old, cur).ahead;
}

bool vloop_may_serve(const struct vnode *node, const struct vstate *cur)
{
	return !node->dep || !node->dep->branches || !progress_of(&node->st, cur).behind;
}

void vloop_depend(struct venv *env, struct vnode *head)
{
	struct vnode *n;

	head->is_head = true;
	for (n = env->cur.parent; n && n != head; n = n->st.parent)
		/* the head that is further up decides: it finishes last */
		if (!n->dep || !n->dep->branches || n->dep->serial > head->serial)
			n->dep = head;
}

static bool is_bounded(const struct vreg *r)
{
	return vreg_is_scalar(r) && (r->id || !range_is_unknown(&r->v));
}

/* What the comparison with head's frame rested on. Returns the origins of the same places in cur. */
static u64 hold_frame(struct vnode *head, const struct vframe *cur, u32 f, u64 *head_origin)
{
	struct vframe *old = head->st.frame[f];
	u64 origin = 0;
	u32 i;

	for (i = 0; i < 10; i++) {
		if (!is_bounded(&old->r[i]))
			continue;
		old->r[i].held = true;
		*head_origin |= old->r[i].origin;
		origin |= cur->r[i].origin;
	}
	for (i = 0; i < old->nslots; i++) {
		struct vslot *s = &old->slot[i];

		if (!s->init_mask)
			continue;
		s->held = true;
		*head_origin |= s->origin | s->spill.origin;
		if (i < cur->nslots)
			origin |= cur->slot[i].origin | cur->slot[i].spill.origin;
	}
	return origin;
}

void vloop_close(struct venv *env, struct vnode *head)
{
	u64 origin = 0, head_origin = 0;
	u32 f;

	for (f = 0; f < head->st.nframes; f++) {
		struct vframe *old = head->st.frame[f];
		u64 slots = old->nslots >= 64 ? ~0ull : (1ull << old->nslots) - 1;

		origin |= hold_frame(head, env->cur.frame[f], f, &head_origin);
		vorigin_stack_read(&env->cur, f, slots);
		old->read |= slots;
		vorigin_stack_read(&head->st, f, slots);
	}
	vorigin_hold(env->cur.parent, origin);
	vorigin_hold(head->st.parent, head_origin);
	vloop_depend(env, head);
}

/* A number that changes from round to round and that nothing has rested on: any number. */
static void widen_reg(const struct vreg *old, struct vreg *cur)
{
	if (!vreg_is_scalar(old) || !vreg_is_scalar(cur) || old->precise)
		return;
	if (range_equal(&old->v, &cur->v) && !old->id == !cur->id)
		return;
	vreg_set_unknown(cur);
}

static void widen_slot(const struct vslot *old, struct vslot *cur)
{
	u32 i;

	if (old->precise)
		return;
	for (i = 0; i < 8; i++) {
		u8 bit = (u8)(1u << i);

		if (old->known_mask & cur->known_mask & bit && !((old->known ^ cur->known) >> (i * 8) & 0xff))
			continue;
		cur->known_mask &= (u8)~bit;
	}
	cur->zero_mask &= old->zero_mask;
	if (!vreg_is_scalar(&cur->spill))
		return;
	if (vreg_is_scalar(&old->spill) && old->spill_size == cur->spill_size) {
		u32 size = cur->spill_size;

		widen_reg(&old->spill, &cur->spill);
		vreg_truncate(&cur->spill, size);
	}
}

static bool same_calls(const struct vstate *a, const struct vstate *b)
{
	u32 f;

	if (a->nframes != b->nframes)
		return false;
	for (f = 1; f < a->nframes; f++)
		if (a->frame[f]->callsite != b->frame[f]->callsite)
			return false;
	return true;
}

void vloop_widen(const struct vnode *from, u32 head, struct vstate *st)
{
	const struct vnode *n;
	u32 f, i;

	for (n = from; n; n = n->st.parent)
		if (n->st.pc == head && same_calls(&n->st, st))
			break;
	if (!n)
		return;
	for (f = 0; f < st->nframes; f++) {
		const struct vframe *old = n->st.frame[f];
		struct vframe *cur = st->frame[f];

		for (i = 0; i < 10; i++)
			widen_reg(&old->r[i], &cur->r[i]);
		for (i = 0; i < old->nslots && i < cur->nslots; i++)
			widen_slot(&old->slot[i], &cur->slot[i]);
	}
}
