/* SPDX-License-Identifier: MIT */
/*
 * Comparisons and ranges: which way must one go, and what does its outcome tell of both sides.
 * Works on one view at a time: the whole value or, for JMP32, the low half; range_sync() carries
 * the news over to the other views.
 */
#include "verifier/env.h"

struct view {
	u64 umin, umax;
	s64 smin, smax;
	struct tnum t;
};

static struct view view_of(const struct range *r, bool is32)
{
	if (is32)
		return (struct view){r->wmin, r->wmax, r->swmin, r->swmax, tnum_cast(r->t, 4)};
	return (struct view){r->umin, r->umax, r->smin, r->smax, r->t};
}

static void view_store(const struct view *v, bool is32, struct range *r)
{
	if (is32) {
		r->wmin = (u32)v->umin;
		r->wmax = (u32)v->umax;
		r->swmin = (s32)v->smin;
		r->swmax = (s32)v->smax;
		r->t = tnum_or_raw(tnum_high(r->t), v->t);
	} else {
		r->umin = v->umin;
		r->umax = v->umax;
		r->smin = v->smin;
		r->smax = v->smax;
		r->t = v->t;
	}
}

static int outcome_equal(const struct view *a, const struct view *b)
{
	if (tnum_is_const(a->t) && tnum_is_const(b->t))
		return a->t.value == b->t.value;
	if ((a->t.value ^ b->t.value) & ~a->t.mask & ~b->t.mask)
		return 0;
	if (a->umin > b->umax || a->umax < b->umin || a->smin > b->smax || a->smax < b->smin)
		return 0;
	return -1;
}

static int outcome_set(const struct view *a, const struct view *b)
{
	if (!tnum_is_const(b->t))
		return -1;
	if (a->t.value & b->t.value)
		return 1;
	return (a->t.value | a->t.mask) & b->t.value ? -1 : 0;
}

static int decide(bool yes, bool no)
{
	return yes ? 1 : no ? 0 : -1;
}

static int invert(int outcome)
{
	return outcome < 0 ? -1 : !outcome;
}

int vrefine_outcome(const struct range *ra, const struct range *rb, u8 op, bool is32)
{
	struct view a = view_of(ra, is32), b = view_of(rb, is32);

	switch (op) {
	case BPF_JEQ: return outcome_equal(&a, &b);
	case BPF_JNE: return invert(outcome_equal(&a, &b));
	case BPF_JSET: return outcome_set(&a, &b);
	case BPF_JGT: return decide(a.umin > b.umax, a.umax <= b.umin);
	case BPF_JGE: return decide(a.umin >= b.umax, a.umax < b.umin);
	case BPF_JLT: return decide(a.umax < b.umin, a.umin >= b.umax);
	case BPF_JLE: return decide(a.umax <= b.umin, a.umin > b.umax);
	case BPF_JSGT: return decide(a.smin > b.smax, a.smax <= b.smin);
	case BPF_JSGE: return decide(a.smin >= b.smax, a.smax < b.smin);
	case BPF_JSLT: return decide(a.smax < b.smin, a.smin >= b.smax);
	case BPF_JSLE: return decide(a.smax <= b.smin, a.smin > b.smax);
	default: return -1;
	}
}

static void learn_equal(struct view *a, struct view *b)
{
	a->umin = b->umin = a->umin > b->umin ? a->umin : b->umin;
	a->umax = b->umax = a->umax < b->umax ? a->umax : b->umax;
	a->smin = b->smin = a->smin > b->smin ? a->smin : b->smin;
	a->smax = b->smax = a->smax < b->smax ? a->smax : b->smax;
	if (tnum_intersect(a->t, b->t, &a->t))
		b->t = a->t;
}

/* a is not the constant b: an end of a's bounds moves off it. */
static void learn_differ(struct view *a, const struct view *b)
{
	u64 v = b->t.value;

	if (!tnum_is_const(b->t))
		return;
	if (a->umin == v && a->umin < a->umax)
		a->umin++;
	if (a->umax == v && a->umin < a->umax)
		a->umax--;
	if (a->smin == b->smin && a->smin < a->smax)
		a->smin++;
	if (a->smax == b->smin && a->smin < a->smax)
		a->smax--;
}

/* a < b or, if or_equal, a <= b. A bound that would overflow cannot happen: it stays. */
static void learn_below(struct view *a, struct view *b, bool or_equal)
{
	u64 most = or_equal || !b->umax ? b->umax : b->umax - 1;
	u64 least = or_equal || a->umin == UINT64_MAX ? a->umin : a->umin + 1;

	a->umax = a->umax < most ? a->umax : most;
	b->umin = b->umin > least ? b->umin : least;
}

static void learn_below_signed(struct view *a, struct view *b, bool or_equal)
{
	s64 most = or_equal || b->smax == INT64_MIN ? b->smax : b->smax - 1;
	s64 least = or_equal || a->smin == INT64_MAX ? a->smin : a->smin + 1;

	a->smax = a->smax < most ? a->smax : most;
	b->smin = b->smin > least ? b->smin : least;
}

static void learn_set(struct view *a, const struct view *b, bool truth)
{
	u64 v = b->t.value;

	if (!tnum_is_const(b->t))
		return;
	if (!truth)
		a->t = tnum_and(a->t, tnum_const(~v));
	else if (v && !(v & (v - 1)))
		a->t = tnum_or(a->t, tnum_const(v));
}

static u8 opposite(u8 op)
{
	switch (op) {
	case BPF_JEQ: return BPF_JNE;
	case BPF_JNE: return BPF_JEQ;
	case BPF_JGT: return BPF_JLE;
	case BPF_JGE: return BPF_JLT;
	case BPF_JLT: return BPF_JGE;
	case BPF_JLE: return BPF_JGT;
	case BPF_JSGT: return BPF_JSLE;
	case BPF_JSGE: return BPF_JSLT;
	case BPF_JSLT: return BPF_JSGE;
	default: return BPF_JSGT;
	}
}

void vrefine(struct vreg *ra, struct vreg *rb, u8 op, bool is32, bool truth)
{
	struct view a = view_of(&ra->v, is32), b = view_of(&rb->v, is32);

	if (op != BPF_JSET && !truth)
		op = opposite(op);
	switch (op) {
	case BPF_JEQ: learn_equal(&a, &b); break;
	case BPF_JNE: {
		struct view was = a;

		learn_differ(&a, &b);
		learn_differ(&b, &was);
		break;
	}
	case BPF_JSET: learn_set(&a, &b, truth); break;
	case BPF_JLT: learn_below(&a, &b, false); break;
	case BPF_JLE: learn_below(&a, &b, true); break;
	case BPF_JGT: learn_below(&b, &a, false); break;
	case BPF_JGE: learn_below(&b, &a, true); break;
	case BPF_JSLT: learn_below_signed(&a, &b, false); break;
	case BPF_JSLE: learn_below_signed(&a, &b, true); break;
	case BPF_JSGT: learn_below_signed(&b, &a, false); break;
	default: learn_below_signed(&b, &a, true);
	}
	view_store(&a, is32, &ra->v);
	view_store(&b, is32, &rb->v);
	/* a contradiction means that this way is never taken: knowing nothing is safe */
	range_sync(&ra->v);
	range_sync(&rb->v);
	ra->origin |= rb->origin;
	rb->origin = ra->origin;
}
