/* SPDX-License-Identifier: MIT */
#include "verifier/range.h"

void range_set_unknown(struct range *r)
{
	*r = (struct range){.t = TNUM_UNKNOWN,
			    .umin = 0,
			    .umax = UINT64_MAX,
			    .smin = INT64_MIN,
			    .smax = INT64_MAX,
			    .wmin = 0,
			    .wmax = UINT32_MAX,
			    .swmin = INT32_MIN,
			    .swmax = INT32_MAX};
}

void range_set_const(struct range *r, u64 v)
{
	*r = (struct range){.t = tnum_const(v),
			    .umin = v,
			    .umax = v,
			    .smin = (s64)v,
			    .smax = (s64)v,
			    .wmin = (u32)v,
			    .wmax = (u32)v,
			    .swmin = (s32)v,
			    .swmax = (s32)v};
}

void range_set_unsigned(struct range *r, u64 lo, u64 hi)
{
	range_set_unknown(r);
	r->umin = lo;
	r->umax = hi;
	range_sync(r);
}

bool range_is_const(const struct range *r)
{
	return tnum_is_const(r->t);
}

bool range_is_unknown(const struct range *r)
{
	return r->t.mask == UINT64_MAX && r->umin == 0 && r->umax == UINT64_MAX &&
	       r->smin == INT64_MIN && r->smax == INT64_MAX && r->wmin == 0 &&
	       r->wmax == UINT32_MAX && r->swmin == INT32_MIN && r->swmax == INT32_MAX;
}

bool range_equal(const struct range *a, const struct range *b)
{
	return a->t.value == b->t.value && a->t.mask == b->t.mask && a->umin == b->umin &&
	       a->umax == b->umax && a->smin == b->smin && a->smax == b->smax &&
	       a->wmin == b->wmin && a->wmax == b->wmax && a->swmin == b->swmin &&
	       a->swmax == b->swmax;
}

bool range_contains(const struct range *outer, const struct range *inner)
{
	return tnum_contains(outer->t, inner->t) && outer->umin <= inner->umin &&
	       outer->umax >= inner->umax && outer->smin <= inner->smin &&
	       outer->smax >= inner->smax && outer->wmin <= inner->wmin &&
	       outer->wmax >= inner->wmax && outer->swmin <= inner->swmin &&
	       outer->swmax >= inner->swmax;
}

bool range_has(const struct range *r, u64 v)
{
	struct range one;

	range_set_const(&one, v);
	return range_contains(r, &one);
}

static u64 max_u64(u64 a, u64 b)
{
	return a > b ? a : b;
}
static u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}
static s64 max_s64(s64 a, s64 b)
{
	return a > b ? a : b;
}
static s64 min_s64(s64 a, s64 b)
{
	return a < b ? a : b;
}

/* Known bits bound the value; an unknown sign bit is set in the smallest signed member and clear in
 * the largest. */
static void bounds_from_bits(struct range *r)
{
	const u64 sign = 1ull << 63;
	const u32 wsign = 1u << 31;
	u32 wvalue = (u32)r->t.value, wmask = (u32)r->t.mask;

	r->umin = max_u64(r->umin, r->t.value);
	r->umax = min_u64(r->umax, r->t.value | r->t.mask);
	r->smin = max_s64(r->smin, (s64)(r->t.value | (r->t.mask & sign)));
	r->smax = min_s64(r->smax, (s64)(r->t.value | (r->t.mask & ~sign)));
	r->wmin = (u32)max_u64(r->wmin, wvalue);
	r->wmax = (u32)min_u64(r->wmax, wvalue | wmask);
	r->swmin = (s32)max_s64(r->swmin, (s32)(wvalue | (wmask & wsign)));
	r->swmax = (s32)min_s64(r->swmax, (s32)(wvalue | (wmask & ~wsign)));
}

/* Where an interval does not cross the point at which the other view wraps, it bounds the other
 * view too. */
static void bounds_cross_sign(struct range *r)
{
	if ((s64)r->umin <= (s64)r->umax) {
		r->smin = max_s64(r->smin, (s64)r->umin);
		r->smax = min_s64(r->smax, (s64)r->umax);
	}
	if ((u64)r->smin <= (u64)r->smax) {
		r->umin = max_u64(r->umin, (u64)r->smin);
		r->umax = min_u64(r->umax, (u64)r->smax);
	}
	if ((s32)r->wmin <= (s32)r->wmax) {
		r->swmin = (s32)max_s64(r->swmin, (s32)r->wmin);
		r->swmax = (s32)min_s64(r->swmax, (s32)r->wmax);
	}
	if ((u32)r->swmin <= (u32)r->swmax) {
		r->wmin = (u32)max_u64(r->wmin, (u32)r->swmin);
		r->wmax = (u32)min_u64(r->wmax, (u32)r->swmax);
	}
}

static void low_from_whole(struct range *r)
{
	if (r->umin >> 32 == r->umax >> 32) {
		r->wmin = (u32)max_u64(r->wmin, (u32)r->umin);
		r->wmax = (u32)min_u64(r->wmax, (u32)r->umax);
	}
	if (r->smin >> 32 == r->smax >> 32) {
		r->wmin = (u32)max_u64(r->wmin, (u32)r->smin);
		r->wmax = (u32)min_u64(r->wmax, (u32)r->smax);
	}
	if (r->smin >= INT32_MIN && r->smax <= INT32_MAX) {
		r->swmin = (s32)max_s64(r->swmin, r->smin);
		r->swmax = (s32)min_s64(r->swmax, r->smax);
	}
}

/* If the smallest value's upper half is the true one, its lower half is at least wmin; else the
 * value is larger anyway. The same from above, and for both signs. */
static void whole_from_low(struct range *r)
{
	const u64 high = ~0xffffffffull;

	r->umin = max_u64(r->umin, (r->umin & high) | r->wmin);
	r->umax = min_u64(r->umax, (r->umax & high) | r->wmax);
	r->smin = max_s64(r->smin, (s64)(((u64)r->smin & high) | r->wmin));
	r->smax = min_s64(r->smax, (s64)(((u64)r->smax & high) | r->wmax));
	if (r->smin >= INT32_MIN && r->smax <= INT32_MAX) {
		r->smin = max_s64(r->smin, r->swmin);
		r->smax = min_s64(r->smax, r->swmax);
	}
}

static bool bits_from_bounds(struct range *r)
{
	struct tnum low, t;

	if (r->umin > r->umax || r->smin > r->smax || r->wmin > r->wmax || r->swmin > r->swmax)
		return false;
	if (!tnum_intersect(r->t, tnum_range(r->umin, r->umax), &t))
		return false;
	if (!tnum_intersect(tnum_cast(t, 4), tnum_range(r->wmin, r->wmax), &low))
		return false;
	r->t = tnum_or_raw(tnum_high(t), low);
	return true;
}

bool range_sync(struct range *r)
{
	u32 round;

	for (round = 0; round < 3; round++) {
		bounds_from_bits(r);
		low_from_whole(r);
		bounds_cross_sign(r);
		whole_from_low(r);
		bounds_cross_sign(r);
		if (!bits_from_bounds(r)) {
			range_set_unknown(r);
			return false;
		}
	}
	bounds_from_bits(r);
	if (r->umin > r->umax || r->smin > r->smax || r->wmin > r->wmax || r->swmin > r->swmax) {
		range_set_unknown(r);
		return false;
	}
	return true;
}

bool range_intersect(struct range *d, const struct range *s)
{
	struct range r = *d;

	if (!tnum_intersect(d->t, s->t, &r.t))
		return false;
	r.umin = max_u64(d->umin, s->umin);
	r.umax = min_u64(d->umax, s->umax);
	r.smin = max_s64(d->smin, s->smin);
	r.smax = min_s64(d->smax, s->smax);
	r.wmin = (u32)max_u64(d->wmin, s->wmin);
	r.wmax = (u32)min_u64(d->wmax, s->wmax);
	r.swmin = (s32)max_s64(d->swmin, s->swmin);
	r.swmax = (s32)min_s64(d->swmax, s->swmax);
	if (!range_sync(&r))
		return false;
	*d = r;
	return true;
}

void range_truncate(struct range *r, u32 bytes)
{
	struct range out;
	u64 max = bytes >= 8 ? UINT64_MAX : (1ull << (bytes * 8)) - 1;

	if (bytes >= 8)
		return;
	range_set_unknown(&out);
	out.t = tnum_cast(r->t, bytes);
	out.umax = max;
	/* bounds survive if cutting does not wrap inside them */
	if ((r->umin & ~max) == (r->umax & ~max)) {
		out.umin = r->umin & max;
		out.umax = r->umax & max;
	}
	if (bytes == 4) {
		out.wmin = r->wmin;
		out.wmax = r->wmax;
		out.swmin = r->swmin;
		out.swmax = r->swmax;
	}
	range_sync(&out);
	*r = out;
}

void range_sign_extend(struct range *r, u32 bytes)
{
	struct range out;
	u32 bits = bytes * 8;
	s64 lowest = -(s64)(1ull << (bits - 1)), highest = (s64)(1ull << (bits - 1)) - 1;

	range_set_unknown(&out);
	out.t = tnum_sext(r->t, bits);
	out.smin = lowest;
	out.smax = highest;
	if (r->smin >= lowest && r->smax <= highest) {
		out.smin = r->smin;
		out.smax = r->smax;
	} else if (bytes == 4) {
		out.smin = r->swmin;
		out.smax = r->swmax;
	}
	range_sync(&out);
	*r = out;
}
