/* SPDX-License-Identifier: MIT */
/*
 * Ranges keep their promise: whatever concrete values are inside the operands, the concrete result
 * is inside the result; what a comparison teaches never excludes a pair for which it came out so.
 * Seeded random ranges, small ones and ones at the ends of the number line.
 */
#include "tap.h"

#include "verifier/env.h"

static u64 seed;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

static u64 odd_number(void)
{
	static const u64 at[] = {0,
				 1,
				 0x7f,
				 0x80,
				 0xff,
				 0x7fff,
				 0x8000,
				 0x7fffffff,
				 0x80000000,
				 0xffffffff,
				 0x100000000,
				 0x7fffffffffffffff,
				 0x8000000000000000,
				 0xffffffff80000000,
				 0xffffffff00000000,
				 ~0ull};
	u64 v = at[rnd() >> 32 & 15] + (rnd() >> 32) % 5 - 2;

	switch (rnd() >> 60) {
	case 0: return rnd();
	case 1: return rnd() >> (rnd() >> 58);
	case 2:
	case 3: return (rnd() >> 32) % 70;
	default: return v;
	}
}

/* A range around v, as random refinements would leave it. */
static void range_around(u64 v, struct range *r)
{
	u64 other = odd_number(), mask = rnd() & rnd();

	range_set_unknown(r);
	switch (rnd() >> 61) {
	case 0: range_set_const(r, v); return;
	case 1:
		r->umin = v < other ? v : other;
		r->umax = v < other ? other : v;
		break;
	case 2:
		r->smin = (s64)v < (s64)other ? (s64)v : (s64)other;
		r->smax = (s64)v < (s64)other ? (s64)other : (s64)v;
		break;
	case 3: r->t = (struct tnum){.value = v & ~mask, .mask = mask}; break;
	case 4:
		r->wmin = (u32)v < (u32)other ? (u32)v : (u32)other;
		r->wmax = (u32)v < (u32)other ? (u32)other : (u32)v;
		break;
	case 5:
		r->swmin = (s32)v < (s32)other ? (s32)v : (s32)other;
		r->swmax = (s32)v < (s32)other ? (s32)other : (s32)v;
		r->umin = v > 100 ? v - rnd() % 100 : 0;
		break;
	case 6:
		r->umin = v - (v > 5 ? rnd() % 5 : 0);
		r->umax = v + (v < ~5ull ? rnd() % 5 : 0);
		break;
	default: break;
	}
	range_sync(r);
}

static u64 concrete(u8 op, u64 a, u64 b, u32 bits)
{
	u64 r = 0;

	if (bits == 32) {
		a = (u32)a;
		b = (u32)b;
	}
	switch (op) {
	case BPF_ADD: r = a + b; break;
	case BPF_SUB: r = a - b; break;
	case BPF_MUL: r = a * b; break;
	case BPF_AND: r = a & b; break;
	case BPF_OR: r = a | b; break;
	case BPF_XOR: r = a ^ b; break;
	case BPF_LSH: r = a << (b & (bits - 1)); break;
	case BPF_RSH: r = a >> (b & (bits - 1)); break;
	case BPF_ARSH:
		r = bits == 64 ? (u64)((s64)a >> (b & 63)) : (u64)((s32)a >> (b & 31));
		break;
	case BPF_DIV: r = b ? a / b : 0; break;
	case BPF_MOD: r = b ? a % b : a; break;
	}
	return bits == 32 ? (u32)r : r;
}

static bool compare(u8 op, u64 a, u64 b, bool is32)
{
	s64 sa = is32 ? (s32)a : (s64)a, sb = is32 ? (s32)b : (s64)b;

	if (is32) {
		a = (u32)a;
		b = (u32)b;
	}
	switch (op) {
	case BPF_JEQ: return a == b;
	case BPF_JNE: return a != b;
	case BPF_JGT: return a > b;
	case BPF_JGE: return a >= b;
	case BPF_JLT: return a < b;
	case BPF_JLE: return a <= b;
	case BPF_JSET: return a & b;
	case BPF_JSGT: return sa > sb;
	case BPF_JSGE: return sa >= sb;
	case BPF_JSLT: return sa < sb;
	default: return sa <= sb;
	}
}

static void print_range(const char *name, const struct range *r, u64 v)
{
	printf("# %s %#llx in [%#llx, %#llx] s[%lld, %lld] w[%#x, %#x] sw[%d, %d] bits (%#llx; "
	       "%#llx)\n",
	       name, (unsigned long long)v, (unsigned long long)r->umin,
	       (unsigned long long)r->umax, (long long)r->smin, (long long)r->smax, r->wmin,
	       r->wmax, r->swmin, r->swmax, (unsigned long long)r->t.value,
	       (unsigned long long)r->t.mask);
}

static u32 check_alu(u32 rounds)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL,  BPF_AND, BPF_OR, BPF_XOR,
				 BPF_LSH, BPF_RSH, BPF_ARSH, BPF_DIV, BPF_MOD};
	u32 i, bad = 0;

	for (i = 0; i < rounds && bad < 5; i++) {
		u8 op = ops[(rnd() >> 32) % sizeof(ops)];
		u32 bits = rnd() >> 63 ? 64 : 32;
		u64 va = odd_number(), vb = odd_number(), want = concrete(op, va, vb, bits);
		struct range a, b, r;

		range_around(va, &a);
		range_around(vb, &b);
		r = a;
		range_alu(&r, &b, op, bits);
		if (range_has(&a, va) && range_has(&b, vb) && range_has(&r, want))
			continue;
		bad++;
		printf("# operation %#x, %u bits\n", op, bits);
		print_range("a", &a, va);
		print_range("b", &b, vb);
		print_range("result", &r, want);
	}
	return bad;
}

static u32 check_compare(u32 rounds)
{
	static const u8 ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,	 BPF_JLT, BPF_JLE,
				 BPF_JSET, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE};
	u32 i, bad = 0;

	for (i = 0; i < rounds && bad < 5; i++) {
		u8 op = ops[(rnd() >> 32) % sizeof(ops)];
		bool is32 = rnd() >> 63;
		u64 va = odd_number(), vb = rnd() >> 62 ? odd_number() : va;
		bool truth = compare(op, va, vb, is32);
		struct vreg a, b;
		int outcome;

		vreg_set_unknown(&a);
		vreg_set_unknown(&b);
		range_around(va, &a.v);
		range_around(vb, &b.v);
		outcome = vrefine_outcome(&a.v, &b.v, op, is32);
		vrefine(&a, &b, op, is32, truth);
		if ((outcome < 0 || outcome == truth) && range_has(&a.v, va) && range_has(&b.v, vb))
			continue;
		bad++;
		printf("# comparison %#x, %u bits, came out %d, was said to be %d\n", op,
		       is32 ? 32 : 64, truth, outcome);
		print_range("a", &a.v, va);
		print_range("b", &b.v, vb);
	}
	return bad;
}

static u32 check_cut(u32 rounds)
{
	u32 i, bad = 0;

	for (i = 0; i < rounds && bad < 5; i++) {
		u32 bytes = 1u << (rnd() >> 62 & 1 ? 2 : rnd() >> 63);
		u64 v = odd_number(), max = (1ull << (bytes * 8)) - 1;
		u64 extended = bytes == 1 ? (u64)(s8)v : bytes == 2 ? (u64)(s16)v : (u64)(s32)v;
		struct range r, t, x;

		range_around(v, &r);
		t = x = r;
		range_truncate(&t, bytes);
		range_sign_extend(&x, bytes);
		if (range_has(&t, v & max) && range_has(&x, extended))
			continue;
		bad++;
		print_range("value", &r, v);
		print_range("cut", &t, v & max);
		print_range("extended", &x, extended);
	}
	return bad;
}

/* Sound is easy if nothing is known: some results must be sharp. */
static void check_precision(void)
{
	struct range a, b;

	range_set_unsigned(&a, 0, 7);
	range_set_const(&b, 4);
	range_alu(&a, &b, BPF_MUL, 64);
	tap_ok(a.umax == 28 && !(a.t.mask & 3), "[0, 7] * 4 is at most 28 and a multiple of 4");
	range_set_unsigned(&a, 10, 20);
	range_set_const(&b, (u64)-10);
	range_alu(&a, &b, BPF_ADD, 64);
	tap_ok(a.umin == 0 && a.umax == 10 && a.smin == 0, "[10, 20] + -10 is [0, 10]");
	range_set_unknown(&a);
	range_set_const(&b, 61);
	range_alu(&a, &b, BPF_RSH, 64);
	tap_eq(a.umax, 7, "anything >> 61 is at most 7");
	range_set_unknown(&a);
	a.swmin = -1;
	a.swmax = 5;
	range_sync(&a);
	range_truncate(&a, 4);
	range_sign_extend(&a, 4);
	tap_ok(a.smin == -1 && a.smax == 5, "a signed low half, extended, keeps its bounds");
}

int main(void)
{
	const char *text = getenv("NT_SEED");

	seed = text ? strtoull(text, NULL, 0) : 4711;
	printf("# seed %llu\n", (unsigned long long)seed);
	tap_eq(check_alu(400000), 0, "results of arithmetic are inside");
	tap_eq(check_compare(400000), 0, "comparisons never exclude what is");
	tap_eq(check_cut(200000), 0, "truncation and sign extension");
	check_precision();
	return tap_done();
}
