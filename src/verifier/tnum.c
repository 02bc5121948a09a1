/* SPDX-License-Identifier: MIT */
#include "verifier/tnum.h"

struct tnum tnum_const(u64 v)
{
	return (struct tnum){.value = v, .mask = 0};
}

struct tnum tnum_range(u64 lo, u64 hi)
{
	u64 differ = lo ^ hi;
	u64 below;

	if (!differ)
		return tnum_const(lo);
	/* all bits from the highest that differs downwards may take any value */
	below = ~0ull >> __builtin_clzll(differ);
	return (struct tnum){.value = lo & ~below, .mask = below};
}

bool tnum_is_const(struct tnum t)
{
	return t.mask == 0;
}

bool tnum_contains(struct tnum outer, struct tnum inner)
{
	/* a bit unknown inside must be unknown outside; what is known outside must agree */
	return !(inner.mask & ~outer.mask) && (inner.value & ~outer.mask) == outer.value;
}

bool tnum_is_aligned(struct tnum t, u64 size)
{
	return !((t.value | t.mask) & (size - 1));
}

bool tnum_intersect(struct tnum a, struct tnum b, struct tnum *ret)
{
	u64 mask = a.mask & b.mask;

	if ((a.value ^ b.value) & ~a.mask & ~b.mask)
		return false;
	*ret = (struct tnum){.value = (a.value | b.value) & ~mask, .mask = mask};
	return true;
}

struct tnum tnum_cast(struct tnum t, u32 bytes)
{
	u64 keep = bytes >= 8 ? ~0ull : (1ull << (bytes * 8)) - 1;

	return (struct tnum){.value = t.value & keep, .mask = t.mask & keep};
}

struct tnum tnum_high(struct tnum t)
{
	return (struct tnum){.value = t.value & ~0xffffffffull, .mask = t.mask & ~0xffffffffull};
}

static u64 sign_extend(u64 v, u32 bits)
{
	return (u64)((s64)(v << (64 - bits)) >> (64 - bits));
}

struct tnum tnum_sext(struct tnum t, u32 bits)
{
	u64 mask = sign_extend(t.mask, bits);

	/* an unknown sign makes the whole upper part unknown: mask's extension says so */
	return (struct tnum){.value = sign_extend(t.value, bits) & ~mask, .mask = mask};
}

struct tnum tnum_or_raw(struct tnum a, struct tnum b)
{
	return (struct tnum){.value = a.value | b.value, .mask = a.mask | b.mask};
}

struct tnum tnum_add(struct tnum a, struct tnum b)
{
	/* Add the smallest and the largest members: where the sums differ, some carry is uncertain.
	 */
	u64 lo = a.value + b.value;
	u64 hi = lo + a.mask + b.mask;
	u64 mask = (lo ^ hi) | a.mask | b.mask;

	return (struct tnum){.value = lo & ~mask, .mask = mask};
}

struct tnum tnum_sub(struct tnum a, struct tnum b)
{
	u64 diff = a.value - b.value;
	u64 most = diff + a.mask, least = diff - b.mask;
	u64 mask = (most ^ least) | a.mask | b.mask;

	return (struct tnum){.value = diff & ~mask, .mask = mask};
}

struct tnum tnum_and(struct tnum a, struct tnum b)
{
	u64 maybe_a = a.value | a.mask, maybe_b = b.value | b.mask;
	u64 sure = a.value & b.value;

	return (struct tnum){.value = sure, .mask = maybe_a & maybe_b & ~sure};
}

struct tnum tnum_or(struct tnum a, struct tnum b)
{
	u64 sure = a.value | b.value;

	return (struct tnum){.value = sure, .mask = (a.mask | b.mask) & ~sure};
}

struct tnum tnum_xor(struct tnum a, struct tnum b)
{
	u64 mask = a.mask | b.mask;

	return (struct tnum){.value = (a.value ^ b.value) & ~mask, .mask = mask};
}

struct tnum tnum_mul(struct tnum a, struct tnum b)
{
	/* The known parts multiply exactly; every uncertain bit adds zero or a shifted b. */
	struct tnum sum = tnum_const(a.value * b.value);
	struct tnum part;
	u32 i;

	for (i = 0; i < 64; i++) {
		u64 bit = 1ull << i;

		if (a.value & bit)
			part = (struct tnum){.value = 0, .mask = b.mask << i};
		else if (a.mask & bit)
			part = (struct tnum){.value = 0, .mask = (b.value | b.mask) << i};
		else
			continue;
		sum = tnum_add(sum, part);
	}
	return sum;
}

struct tnum tnum_lsh(struct tnum a, u32 n)
{
	return (struct tnum){.value = a.value << n, .mask = a.mask << n};
}

struct tnum tnum_rsh(struct tnum a, u32 n)
{
	return (struct tnum){.value = a.value >> n, .mask = a.mask >> n};
}

struct tnum tnum_arsh(struct tnum a, u32 n, u32 bits)
{
	if (bits == 32)
		return (struct tnum){.value = (u32)((s32)a.value >> n),
				     .mask = (u32)((s32)a.mask >> n)};
	return (struct tnum){.value = (u64)((s64)a.value >> n), .mask = (u64)((s64)a.mask >> n)};
}
