/* SPDX-License-Identifier: MIT */
/*
 * Shapes that compilers make of loops and rotations, and everything that looks nearly like them: all combinations, compiled,
 * against the interpreter. The shapes themselves must have become shorter code than their look-alikes.
 */
#include "harness.h"
#include "machine.h"

#include "base/bits.h"
#include "tap.h"

static struct jt t;

/* Appends to a program. */
static void add(struct bpf_insn in)
{
	t.insn[t.n++] = in;
}

/* Compiles and runs what was added, with 6 and with 5 as the context's first word: do both agree on R0? The size of the code, 0:
 * they do not. */
static u32 run(u64 *ret_r0)
{
	u32 size = 0;
	bool same;

	if (jt_compile(&t))
		return 0;
	t.ctx[JT_RUN] = 6;
	same = jt_agree(&t, ret_r0);
	t.ctx[JT_RUN] = 5;
	if (jt_agree(&t, ret_r0) && same)
		size = t.img.size - t.img.entry;
	jt_deinit(&t);
	return size;
}

static void begin(bool bmi2)
{
	jt_init(&t, NULL, 0);
	t.no_bmi2 = !bmi2;
}

struct rotation {
	u8 class;
	bool right_first, copies, swapped, used, bmi2;
	u8 c, a, b; /* registers */
	s32 n, m;   /* counts of the left and the right shift */
	u64 value;
};

/* a = c; a shifted; b = c; b shifted; OR; R0 is the result (and with `used` what is left of the other). */
static u32 rotate(const struct rotation *r, u64 *ret_r0)
{
	u8 b = r->copies ? r->b : r->c, dst = r->swapped ? b : r->a, other = r->swapped ? r->a : b;
	u8 first = r->right_first ? BPF_RSH : BPF_LSH, second = r->right_first ? BPF_LSH : BPF_RSH;
	const struct bpf_insn value[] = {LD64(r->c, r->value)};

	begin(r->bmi2);
	add(value[0]);
	add(value[1]);
	add(I(r->class | BPF_MOV | BPF_X, r->a, r->c, 0, 0));
	add(I(r->class | first | BPF_K, r->a, 0, 0, r->right_first ? r->m : r->n));
	if (r->copies)
		add(I(r->class | BPF_MOV | BPF_X, b, r->c, 0, 0));
	add(I(r->class | second | BPF_K, b, 0, 0, r->right_first ? r->n : r->m));
	add(I(r->class | BPF_OR | BPF_X, dst, other, 0, 0));
	if (r->used)
		add(ALU64(BPF_XOR, dst, other));
	if (r->copies)
		add(ALU64(BPF_ADD, dst, r->c)); /* which is as it was */
	if (dst)
		add(MOV64(0, dst));
	add(EXIT());
	return run(ret_r0);
}

static u64 rotated(const struct rotation *r)
{
	u32 width = r->class == BPF_ALU64 ? 64 : 32;
	u64 v = width == 64 ? r->value : (u32)r->value;
	u64 x = width == 64 ? v << r->n | v >> (64 - r->n) : (u32)(v << r->n) | (u32)v >> (32 - r->n);

	return r->copies ? x + r->value : x;
}

/* All of them with this number of bits. */
static void rotations(u8 class, s32 n)
{
	s32 width = class == BPF_ALU64 ? 64 : 32;
	u32 wrong = 0, longer = 0, all = 0;

	for (u32 k = 0; k < 64; k++) {
		struct rotation r = {.class = class, .right_first = k & 1, .copies = k & 2, .swapped = k & 4, .bmi2 = k & 8, .c = 7,
				     .a = k & 16 ? 1 : 9, .b = k & 32 ? 0 : 8, .n = n, .m = width - n, .value = 0x8070605040302010 + k};
		u64 r0 = 0, other;
		u32 size = rotate(&r, &r0), plain;

		r.m = width - n + (n > 1 ? 1 : -1);
		plain = rotate(&r, &other);
		r.m = width - n;
		wrong += !size || !plain || r0 != rotated(&r);
		longer += size >= plain;
		r.used = true;
		wrong += !rotate(&r, &other);
		all++;
	}
	tap_eq(wrong, 0, "rotations of %d bits by %d: all %u agree", width, n, all);
	tap_eq(longer, 0, "... and are one instruction");
}

/* Nearly: shifts the same way, counts that are 0 or too many, mixed widths, somebody jumps into the middle. */
static void near_rotations(void)
{
	const struct bpf_insn value[] = {LD64(7, 0x8070605040302010)};
	u32 wrong = 0;

	for (u32 k = 0; k < 32; k++) {
		u8 first = k & 1 ? BPF_ALU : BPF_ALU64, second = k & 2 ? BPF_ALU : BPF_ALU64, last = k & 4 ? BPF_ALU : BPF_ALU64;
		u64 r0;

		begin(true);
		add(value[0]);
		add(value[1]);
		add(LDX(BPF_DW, 2, 1, 0));
		add(MOV64I(3, 0x123456));
		add(MOV64I(0, 77));
		if (k & 8)
			add(JMPI(BPF_JEQ, 2, 5, 3));
		add(I(first | BPF_MOV | BPF_X, 0, 7, 0, 0));
		add(I(first | BPF_LSH | BPF_K, 0, 0, 0, 24));
		add(I(second | BPF_MOV | BPF_X, 3, k & 16 ? 2 : 7, 0, 0));
		add(I(second | BPF_RSH | BPF_K, 3, 0, 0, second == BPF_ALU ? 8 : 40));
		add(I(last | BPF_OR | BPF_X, 0, 3, 0, 0));
		add(EXIT());
		wrong += !run(&r0);
	}
	tap_eq(wrong, 0, "what is nearly a rotation is none");
}

/* if r7 op r8 goto +1; goto away */
static void branches(void)
{
	static const u8 op[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};
	static const s64 value[] = {0, 1, -1, 0x7fffffff, -0x80000000ll, 0x100000000};
	u32 wrong = 0;

	for (u32 k = 0; k < bits_count(op) * 4 * 36; k++) {
		u8 class = k & 1 ? BPF_JMP : BPF_JMP32, o = op[k / 144];
		s64 a = value[k / 4 % 6], b = value[k / 24 % 6];
		const struct bpf_insn left[] = {LD64(7, a)}, right[] = {LD64(8, b)};
		u64 r0;

		for (u32 plain = 0; plain < 3; plain++) { /* 1: over something else; 2: somebody lands on the goto */
			begin(true);
			add(left[0]);
			add(left[1]);
			add(right[0]);
			add(right[1]);
			add(LDX(BPF_DW, 2, 1, 0)); /* 5: not known to be */
			add(ALU64(BPF_ADD, 7, 2));
			add(ALU64(BPF_ADD, 8, 2));
			add(MOV64I(0, 1));
			if (plain == 2)
				add(JMPI(BPF_JEQ, 2, 6, 1));
			if (k & 2)
				add(I(class | o | BPF_X, 7, 8, 1, 0));
			else
				add(I(class | o | BPF_K, 7, 0, 1, (s32)b));
			add(plain == 1 ? ALU64I(BPF_ADD, 0, 3) : JA(2));
			add(ALU64I(BPF_ADD, 0, 4));
			add(EXIT());
			add(ALU64I(BPF_ADD, 0, 8));
			add(EXIT());
			if (plain == 1)
				t.n -= 2;
			wrong += !run(&r0);
		}
	}
	tap_eq(wrong, 0, "a branch over a goto: all agree");
}

/* r7 op= value; if r7 == 0: is what the first leaves in the flags what the second asks for? */
static void zero_flags(void)
{
	static const u8 op[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_XOR, BPF_MOV, BPF_ARSH, BPF_NEG, BPF_DIV};
	static const s64 value[] = {0, 1, -1, 32, 0x100000000, -0x100000000ll, 0x80000000};
	u32 wrong = 0;

	for (u32 k = 0; k < bits_count(op) * 64 * 7; k++) {
		u8 alu = k & 1 ? BPF_ALU : BPF_ALU64, jump = k & 2 ? BPF_JMP32 : BPF_JMP, o = op[k / 448];
		s64 a = value[k / 64 % 7];
		bool far = k & 4, other = k & 8, not = k & 16, by_reg = k & 32;
		const struct bpf_insn left[] = {LD64(7, a - 5)};
		u64 r0;

		begin(true);
		add(left[0]);
		add(left[1]);
		add(LDX(BPF_DW, 2, 1, 0)); /* 5 */
		add(ALU64(BPF_ADD, 7, 2));
		add(MOV64(8, 7));
		add(MOV64I(0, 0));
		if (far)
			add(JMPI(BPF_JEQ, 2, 6, 1)); /* the flags may be anything there */
		if (o == BPF_NEG)
			add(I(alu | o, 7, 0, 0, 0));
		else if (by_reg)
			add(I(alu | o | BPF_X, 7, 2, 0, 0));
		else
			add(I(alu | o | BPF_K, 7, 0, 0, o == BPF_LSH || o == BPF_RSH || o == BPF_ARSH ? (not ? 0 : 31) : o == BPF_DIV ? 2 : -1));
		add(I(jump | (not ? BPF_JNE : BPF_JEQ) | BPF_K, other ? 8 : 7, 0, 1, 0));
		add(MOV64I(0, 1));
		add(ALU64(BPF_XOR, 0, 7));
		add(EXIT());
		wrong += !run(&r0);
	}
	tap_eq(wrong, 0, "comparing with zero after arithmetic: all agree");
}

int main(void)
{
	static const s32 by[] = {1, 6, 16, 31};

	for (u32 i = 0; i < bits_count(by); i++) {
		rotations(BPF_ALU, by[i]);
		rotations(BPF_ALU64, by[i]);
	}
	near_rotations();
	branches();
	zero_flags();
	return tap_done();
}
