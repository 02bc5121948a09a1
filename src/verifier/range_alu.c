/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic on ranges. Bounds are computed without overflow in 128-bit integers, as the interval
 * of the true results, and then folded back into 64 or 32 bits: if the interval is shorter than one
 * turn of the number circle and does not cross the point where the view (signed or unsigned) wraps,
 * its ends stay bounds; else nothing is known.
 */
#include <linux/bpf.h>

#include "verifier/range.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

struct uspan {
	u128 lo, hi;
};

struct sspan {
	s128 lo, hi;
};

static bool fold_unsigned(struct uspan in, u32 bits, u64 *lo, u64 *hi)
{
	u64 max = bits == 64 ? UINT64_MAX : UINT32_MAX;
	u64 l = (u64)in.lo & max, h = (u64)in.hi & max;

	if (in.hi - in.lo > max || l > h)
		return false;
	*lo = l;
	*hi = h;
	return true;
}

static bool fold_signed(struct sspan in, u32 bits, s64 *lo, s64 *hi)
{
	u64 max = bits == 64 ? UINT64_MAX : UINT32_MAX;
	s64 l = bits == 64 ? (s64)in.lo : (s32)in.lo;
	s64 h = bits == 64 ? (s64)in.hi : (s32)in.hi;

	if ((u128)(in.hi - in.lo) > max || l > h)
		return false;
	*lo = l;
	*hi = h;
	return true;
}

static struct sspan span_products(struct sspan a, struct sspan b)
{
	s128 p[4] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
	struct sspan r = {p[0], p[0]};
	u32 i;

	for (i = 1; i < 4; i++) {
		r.lo = p[i] < r.lo ? p[i] : r.lo;
		r.hi = p[i] > r.hi ? p[i] : r.hi;
	}
	return r;
}

/* Shift distances are in 0..bits-1 here. */
static struct uspan span_unsigned(struct uspan a, struct uspan b, u8 op, u64 max)
{
	switch (op) {
	case BPF_ADD: return (struct uspan){a.lo + b.lo, a.hi + b.hi};
	/* a wrapping difference: the order on the circle stays, so fold as if one turn were added
	 */
	case BPF_SUB: return (struct uspan){a.lo - b.hi, a.hi - b.lo};
	case BPF_MUL: return (struct uspan){a.lo * b.lo, a.hi * b.hi};
	case BPF_LSH: return (struct uspan){a.lo << (u32)b.lo, a.hi << (u32)b.hi};
	case BPF_RSH: return (struct uspan){a.lo >> (u32)b.hi, a.hi >> (u32)b.lo};
	/* bits can only be cleared by AND, only be set by OR */
	case BPF_AND: return (struct uspan){0, a.hi < b.hi ? a.hi : b.hi};
	case BPF_OR: return (struct uspan){a.lo > b.lo ? a.lo : b.lo, max};
	default: return (struct uspan){0, max};
	}
}

static struct sspan span_signed(struct sspan a, struct sspan b, u8 op)
{
	switch (op) {
	case BPF_ADD: return (struct sspan){a.lo + b.lo, a.hi + b.hi};
	case BPF_SUB: return (struct sspan){a.lo - b.hi, a.hi - b.lo};
	case BPF_MUL: return span_products(a, b);
	case BPF_LSH:
		return span_products(a, (struct sspan){(s128)1 << (u32)b.lo, (s128)1 << (u32)b.hi});
	case BPF_ARSH:
		return (struct sspan){a.lo < 0 ? a.lo >> (u32)b.lo : a.lo >> (u32)b.hi,
				      a.hi < 0 ? a.hi >> (u32)b.hi : a.hi >> (u32)b.lo};
	default: return (struct sspan){INT64_MIN, INT64_MAX};
	}
}

static struct tnum alu_bits(struct tnum a, const struct range *s, u8 op, u32 bits)
{
	u32 n = (u32)s->umin;

	switch (op) {
	case BPF_ADD: return tnum_add(a, s->t);
	case BPF_SUB: return tnum_sub(a, s->t);
	case BPF_MUL: return tnum_mul(a, s->t);
	case BPF_AND: return tnum_and(a, s->t);
	case BPF_OR: return tnum_or(a, s->t);
	case BPF_XOR: return tnum_xor(a, s->t);
	case BPF_LSH: return range_is_const(s) ? tnum_lsh(a, n) : TNUM_UNKNOWN;
	case BPF_RSH: return range_is_const(s) ? tnum_rsh(a, n) : TNUM_UNKNOWN;
	case BPF_ARSH: return range_is_const(s) ? tnum_arsh(a, n, bits) : TNUM_UNKNOWN;
	default: return TNUM_UNKNOWN;
	}
}

static void alu_whole(struct range *d, const struct range *s, u8 op, struct range *out)
{
	struct uspan u = span_unsigned((struct uspan){d->umin, d->umax},
				       (struct uspan){s->umin, s->umax}, op, UINT64_MAX);
	struct sspan g =
	    span_signed((struct sspan){d->smin, d->smax}, (struct sspan){s->smin, s->smax}, op);

	fold_unsigned(u, 64, &out->umin, &out->umax);
	fold_signed(g, 64, &out->smin, &out->smax);
}

static void alu_low(struct range *d, const struct range *s, u8 op, struct range *out)
{
	struct uspan u = span_unsigned((struct uspan){d->wmin, d->wmax},
				       (struct uspan){s->wmin, s->wmax}, op, UINT32_MAX);
	struct sspan g =
	    span_signed((struct sspan){d->swmin, d->swmax}, (struct sspan){s->swmin, s->swmax}, op);
	u64 lo, hi;
	s64 slo, shi;

	if (fold_unsigned(u, 32, &lo, &hi)) {
		out->wmin = (u32)lo;
		out->wmax = (u32)hi;
	}
	if (fold_signed(g, 32, &slo, &shi)) {
		out->swmin = (s32)slo;
		out->swmax = (s32)shi;
	}
}

static bool op_is_shift(u8 op)
{
	return op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;
}

static bool op_is_tracked(u8 op)
{
	switch (op) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
	case BPF_LSH:
	case BPF_RSH:
	case BPF_ARSH: return true;
	default: return false;
	}
}

/* The low half of the result depends on the low halves alone; not so when bits move down. */
static bool low_stays_low(u8 op, const struct range *s)
{
	return !op_is_shift(op) || (op == BPF_LSH && s->umax < 32);
}

void range_alu(struct range *d, const struct range *s, u8 op, u32 bits)
{
	struct range out, a = *d, b = *s;
	bool shift = op_is_shift(op);

	range_set_unknown(&out);
	if (bits == 32) {
		range_truncate(&a, 4);
		range_truncate(&b, 4);
	}
	if (!op_is_tracked(op) || (shift && b.umax >= bits)) {
		range_truncate(&out, bits / 8);
		*d = out;
		return;
	}
	out.t = alu_bits(a.t, &b, op, bits);
	if (bits == 32 || low_stays_low(op, &b))
		alu_low(&a, &b, op, &out);
	if (bits == 64) {
		alu_whole(&a, &b, op, &out);
		range_sync(&out);
	} else {
		range_truncate(&out, 4);
	}
	*d = out;
}
