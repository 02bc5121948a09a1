/* SPDX-License-Identifier: MIT */
#include "gen.h"

#include <string.h>

#include "base/bits.h"

enum { GEN_ACQ = 0x100, GEN_REL = 0x110, LOOP_REG = 9 };

static u8 gen_byte(struct gen *g)
{
	if (g->pos < g->nbytes)
		return g->bytes[g->pos++];
	g->state ^= g->state << 13;
	g->state ^= g->state >> 7;
	g->state ^= g->state << 17;
	return (u8)(g->state >> 32);
}

u64 gen_u64(struct gen *g)
{
	u64 v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | gen_byte(g);
	return v;
}

u32 gen_below(struct gen *g, u32 n)
{
	return (n <= 256 ? gen_byte(g) : (u32)(gen_byte(g) << 8 | gen_byte(g))) % n;
}

/* Numbers at which instructions go wrong, and any others. */
static u64 value(struct gen *g)
{
	static const u64 odd[] = {0,
				  1,
				  2,
				  7,
				  8,
				  31,
				  32,
				  63,
				  64,
				  0x7f,
				  0x80,
				  0xff,
				  0x100,
				  0x7fff,
				  0x8000,
				  0xffff,
				  0x7fffffff,
				  0x80000000,
				  0xffffffff,
				  0x100000000,
				  0x7fffffffffffffff,
				  0x8000000000000000,
				  0xffffffff80000000,
				  0xffffffffffffffff,
				  0xfffffffffffffffe,
				  0xffffffff00000000};

	return gen_below(g, 4) ? odd[gen_below(g, bits_count(odd))] : gen_u64(g);
}

static void put(struct gen *g, struct bpf_insn x)
{
	if (g->t->n < JT_MAX_INSNS)
		g->t->insn[g->t->n++] = x;
}

static void put_imm64(struct gen *g, u32 r, u64 v)
{
	const struct bpf_insn x[] = {LD64(r, v)};

	put(g, x[0]);
	put(g, x[1]);
}

/* A register that may be written: the loop's counter may not, inside a loop. */
static u32 reg(struct gen *g)
{
	return gen_below(g, g->in_loop ? 9 : 10);
}

/* A point between two instructions where every register is a number: pending jumps may land
 * here. */
static void land(struct gen *g, bool all)
{
	for (u32 i = 0; i < g->npending;) {
		u32 at = g->pending[i];
		struct bpf_insn *j = &g->t->insn[at];

		if (!all && gen_below(g, 4)) {
			i++;
			continue;
		}
		if (j->code == (BPF_JMP32 | BPF_JA))
			j->imm = (s32)(g->t->n - at - 1);
		else
			j->off = (s16)(g->t->n - at - 1);
		g->pending[i] = g->pending[--g->npending];
	}
}

static void stmt_alu(struct gen *g)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,   BPF_AND, BPF_LSH,
				 BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH, BPF_NEG};
	u8 op = ops[gen_below(g, bits_count(ops))], class = gen_below(g, 2) ? BPF_ALU64 : BPF_ALU;
	bool x = op != BPF_NEG && gen_below(g, 2);
	s16 off = 0;
	s32 imm = 0;

	if (!x && op != BPF_NEG) {
		imm = (s32)value(g);
		if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
			imm &= class == BPF_ALU64 ? 63 : 31;
		if ((op == BPF_DIV || op == BPF_MOD) && imm == 0)
			imm = 3;
	}
	if (g->flags & GEN_V4 && (op == BPF_DIV || op == BPF_MOD))
		off = (s16)gen_below(g, 2);
	if (g->flags & GEN_V4 && op == BPF_MOV && x)
		off = (s16)(gen_below(g, class == BPF_ALU64 ? 4 : 3) * 8);
	if (off == 24)
		off = 32;
	put(g, I(class | op | (x ? BPF_X : BPF_K), reg(g), x ? gen_below(g, 10) : 0, off, imm));
}

static void stmt_end(struct gen *g)
{
	u32 kind = gen_below(g, g->flags & GEN_V4 ? 3 : 2);
	u8 code =
	    kind == 2 ? BPF_ALU64 | BPF_END : (u8)(BPF_ALU | BPF_END | (kind ? BPF_X : BPF_K));

	put(g, I(code, reg(g), 0, 0, 16 << gen_below(g, 3)));
}

static void stmt_jump(struct gen *g)
{
	static const u8 ops[] = {BPF_JEQ,  BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT,
				 BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};
	u8 op = ops[gen_below(g, bits_count(ops))], class = gen_below(g, 2) ? BPF_JMP : BPF_JMP32;
	bool x = gen_below(g, 2);

	if (g->npending == bits_count(g->pending))
		return;
	g->pending[g->npending++] = g->t->n;
	put(g, I(class | op | (x ? BPF_X : BPF_K), gen_below(g, 10), x ? gen_below(g, 10) : 0, 0,
		 x ? 0 : value(g)));
	if (g->flags & GEN_V4 && gen_below(g, 8) == 0)
		put(g, I(BPF_JMP32 | BPF_JA, 0, 0, 0, 0)); /* to the next instruction */
}

static u8 size_code(u32 k)
{
	static const u8 size[] = {BPF_B, BPF_H, BPF_W, BPF_DW};

	return size[k];
}

/* An aligned place in the part of the stack that is initialised. */
static s16 slot(struct gen *g, u32 k)
{
	return (s16)(-(s32)g->depth + (s32)(gen_below(g, g->depth >> k) << k));
}

static void stmt_mem(struct gen *g)
{
	u32 k = gen_below(g, 4);
	s16 off = slot(g, k);

	switch (gen_below(g, g->flags & GEN_V4 ? 4 : 3)) {
	case 0: put(g, LDX(size_code(k), reg(g), 10, off)); break;
	case 1: put(g, STX(size_code(k), 10, off, gen_below(g, 10))); break;
	case 2: put(g, ST(size_code(k), 10, off, value(g))); break;
	default: put(g, LDSX(size_code(k % 3), reg(g), 10, off)); break;
	}
}

/* The same through a register. */
static void stmt_mem_ptr(struct gen *g)
{
	u32 k = gen_below(g, 4), p = reg(g), r = (p + 1 + gen_below(g, 8)) % 9;
	s16 off = slot(g, k), part = (s16)(gen_below(g, 64) - 32);

	put(g, MOV64(p, 10));
	if (g->flags & (GEN_KERNEL | GEN_VERIFY) ||
	    gen_below(g, 2)) /* the kernel does not let anybody subtract */
		put(g, ALU64I(BPF_ADD, p, part));
	else
		put(g, ALU64I(BPF_SUB, p, -part));
	if (r == p)
		r = (p + 1) % 9;
	if (gen_below(g, 2))
		put(g, STX(size_code(k), p, (s16)(off - part), r));
	else
		put(g, LDX(size_code(k), r, p, (s16)(off - part)));
	if (gen_below(g, 2))
		put(g, LDX(size_code(k), p, p, (s16)(off - part)));
	else
		put_imm64(g, p, value(g));
}

/* A pointer to the stack goes through the stack, or is one of two, depending on the path. */
static void stmt_mem_lost(struct gen *g)
{
	u32 k = gen_below(g, 4), p = reg(g), q = (p + 1 + gen_below(g, 7)) % 9;
	s16 a = slot(g, k), b = slot(g, k), spill = slot(g, 3);

	put(g, MOV64(p, 10));
	put(g, ALU64I(BPF_ADD, p, a));
	if (gen_below(g, 2)) {
		put(g, STX(BPF_DW, 10, spill, p));
		put(g, MOV64I(p, value(g)));
		put(g, LDX(BPF_DW, p, 10, spill));
		put(g, ST(BPF_DW, 10, spill, value(g)));
	} else {
		put(g, JMPI(BPF_JSGT, q == p ? (p + 1) % 9 : q, value(g), 2));
		put(g, MOV64(p, 10));
		put(g, ALU64I(BPF_ADD, p, b));
	}
	if (gen_below(g, 2))
		put(g, STX(size_code(k), p, 0, q == p ? (p + 1) % 9 : q));
	else
		put(g, LDX(size_code(k), q == p ? (p + 1) % 9 : q, p, 0));
	put_imm64(g, p, value(g));
}

static void stmt_atomic(struct gen *g)
{
	static const s32 ops[] = {BPF_ADD,
				  BPF_OR,
				  BPF_AND,
				  BPF_XOR,
				  BPF_ADD | BPF_FETCH,
				  BPF_OR | BPF_FETCH,
				  BPF_AND | BPF_FETCH,
				  BPF_XOR | BPF_FETCH,
				  BPF_XCHG,
				  BPF_CMPXCHG,
				  GEN_ACQ,
				  GEN_REL};
	s32 op = ops[gen_below(g, g->flags & GEN_ACQ_REL ? 12 : 10)];
	u32 k = op >= GEN_ACQ ? gen_below(g, 4) : 2 + gen_below(g, 2);
	s16 off = slot(g, k);
	u32 src = reg(g);

	if (op == BPF_CMPXCHG && gen_below(g, 2)) /* let it succeed at times */
		put(g, LDX(size_code(k), 0, 10, off));
	if (op == GEN_ACQ)
		put(g, ATOMIC(size_code(k), op, reg(g), off, 10));
	else
		put(g, ATOMIC(size_code(k), op, 10, off, src));
}

/* Load, change, store back: what is fused into one instruction, if no jump lands inside. */
static void rmw(struct gen *g, u32 base, s16 off, u32 k, u8 mem)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_OR, BPF_AND, BPF_XOR, BPF_MUL};
	u8 op = ops[gen_below(g, bits_count(ops))], class = gen_below(g, 2) ? BPF_ALU64 : BPF_ALU;
	bool holes = base == 10; /* else right behind a call: R1-R5 are not readable */
	u32 r = reg(g), other = holes ? gen_below(g, 9) : 6 + gen_below(g, 3), fact = g->t->n;

	if (r == base)
		r = (base + 1) % 9;
	if (other == base)
		other = r;
	put(g, LDX(size_code(k), r, base, off));
	if (holes)
		land(g, false);
	if (gen_below(g, 3) == 0)
		put(g, I(class | op | BPF_X, other, r, 0, 0)), r = gen_below(g, 4) ? other : r;
	else if (gen_below(g, 2))
		put(g, I(class | op | BPF_X, r, other, 0, 0));
	else
		put(g, I(class | op | BPF_K, r, 0, 0, value(g)));
	if (holes)
		land(g, false);
	put(g, STX(size_code(k), base, off, r));
	g->t->fact[fact].mem = g->t->fact[g->t->n - 1].mem = mem;
	if (gen_below(g, 2))
		put(g, MOV64I(r, value(g)));
}

static void stmt_rmw(struct gen *g)
{
	u32 k = gen_below(g, 4);

	rmw(g, 10, slot(g, k), k, VMEM_STACK);
}

static void args_again(struct gen *g)
{
	for (u32 r = 1; r <= 5; r++) {
		if (gen_below(g, 2))
			put(g, MOV64(r, 6 + gen_below(g, 4)));
		else
			put(g, MOV64I(r, value(g)));
	}
}

static void stmt_helper(struct gen *g)
{
	static const u8 ids[] = {5, 6, 173, 174, 6};
	u8 id =
	    g->flags & GEN_VERIFY ? 173 + (u8)gen_below(g, 2) : ids[gen_below(g, bits_count(ids))];

	if (id == 6) {
		s16 off = slot(g, 3);

		put(g, MOV64(1, 10));
		put(g, ALU64I(BPF_ADD, 1, off));
		put(g, MOV64I(2, 1 + gen_below(g, (u32)-off)));
	} else if (id != 5) {
		if (g->in_sub)
			return;
		/* ctx comes back from where the first instruction put it */
		put(g, LDX(BPF_DW, 1, 10, (s16)(-(s32)g->depth - 8)));
	}
	put(g, CALL(id));
	args_again(g);
}

/* A key on the stack, a look-up, a NULL check, something done to the value. */
static void stmt_lookup(struct gen *g)
{
	struct jt *t = g->t;
	u32 map = gen_below(g, t->nmaps), k = gen_below(g, 4), check;
	s16 key = (s16)(-4 * (s32)(1 + gen_below(g, g->depth / 4)));
	bool constant = gen_below(g, 2), jne = gen_below(g, 2);
	u32 v = gen_below(g, t->map[map].max_entries + (gen_below(g, 4) == 0 ? 2 : 0));
	const struct bpf_insn ld[] = {LD_MAP(1, map)};

	if (constant) {
		put(g, ST(BPF_W, 10, key, v));
	} else {
		u32 r = gen_below(g, g->in_loop ? 9 : 10);

		if (gen_below(g, 4))
			put(g, ALU64I(BPF_AND, r, 7));
		put(g, STX(BPF_W, 10, key, r));
	}
	if (gen_below(g, 4) == 0)
		stmt_alu(g);
	put(g, MOV64(2, 10));
	put(g, ALU64I(BPF_ADD, 2, key));
	put(g, ld[0]);
	put(g, ld[1]);
	jt_fact_lookup(t, t->n, map, constant ? (s64)v : -1);
	put(g, CALL(1));
	if (jne) {
		put(g, JMPI(BPF_JNE, 0, 0, 1));
		check = t->n;
		put(g, JA(0));
	} else {
		check = t->n;
		put(g, JMPI(BPF_JEQ, 0, 0, 0));
	}
	rmw(g, 0, (s16)(gen_below(g, 16 >> k) << k), k,
	    t->map[map].ncpus > 1 ? VMEM_PERCPU_MAP : VMEM_MAP);
	if (gen_below(g, 2))
		put(g, LDX(size_code(k), 1 + gen_below(g, 5), 0, 0));
	/* The address itself must not be seen: it is 0 or replaced. */
	if (gen_below(g, 2))
		put(g, MOV64I(0, value(g)));
	else
		put(g, LDX(size_code(k), 0, 0, 8));
	t->insn[check].off = (s16)(t->n - check - 1);
	if (gen_below(g, 2)) /* the 0 of the other path is not seen either */
		put(g, MOV64I(0, 5));
	args_again(g);
}

static void stmt_sub_call(struct gen *g)
{
	if (g->in_sub || g->nsub_calls == bits_count(g->sub_call))
		return;
	g->sub_call[g->nsub_calls++] = g->t->n;
	put(g, CALL_LOCAL(0));
	args_again(g);
}

static void statement(struct gen *g);

static void stmt_loop(struct gen *g)
{
	u32 start, body = 1 + gen_below(g, 6);

	if (g->in_loop || g->flags & GEN_KERNEL)
		return;
	land(g, true);
	put(g, MOV64I(LOOP_REG, 1 + gen_below(g, 5)));
	start = g->t->n;
	g->in_loop = true;
	while (body--)
		statement(g);
	land(g, true);
	g->in_loop = false;
	put(g, ALU64I(BPF_SUB, LOOP_REG, 1));
	put(g, JMPI(BPF_JNE, LOOP_REG, 0, 0));
	g->t->insn[g->t->n - 1].off = (s16)(start - g->t->n);
}

static void statement(struct gen *g)
{
	u32 kind = gen_below(g, 32);

	if (kind < 10)
		stmt_alu(g);
	else if (kind < 14)
		stmt_jump(g);
	else if (kind < 18)
		stmt_mem(g);
	else if (kind < 20)
		stmt_rmw(g);
	else if (kind < 22)
		stmt_atomic(g);
	else if (kind < 23)
		stmt_end(g);
	else if (kind < 24)
		stmt_mem_ptr(g);
	else if (kind < 25)
		stmt_mem_lost(g);
	else if (kind < 26)
		put_imm64(g, reg(g), value(g));
	else if (kind < 27)
		stmt_sub_call(g);
	else if (kind < 28)
		stmt_loop(g);
	else if (g->flags & GEN_KERNEL)
		stmt_alu(g);
	else if (kind < 30)
		stmt_lookup(g);
	else
		stmt_helper(g);
	land(g, false);
}

/* All registers and the stack get values; a sub-program's come from its arguments. */
static void begin(struct gen *g)
{
	static const u32 depths[] = {16, 64, 128, 256};
	u32 first = g->t->n;
	bool kernel = g->flags & GEN_KERNEL;

	g->depth = depths[gen_below(
	    g, g->flags & (GEN_KERNEL | GEN_VERIFY) ? 3 : 4)]; /* two frames have 512 bytes */
	g->t->fact[first].stack_depth = (s32)g->depth + 8;
	put(g, STX(BPF_DW, 10, (s16)(-(s32)g->depth - 8), 1));
	for (s32 off = -(s32)g->depth; off < 0; off += 8) {
		if (g->in_sub)
			put(g, STX(BPF_DW, 10, (s16)off, 1 + gen_below(g, 5)));
		else if (kernel || gen_below(g, 2))
			put(g, ST(BPF_DW, 10, (s16)off, value(g)));
		else
			put(g, LDX(BPF_DW, 2, 1, (s16)(8 * gen_below(g, 21)))),
			    put(g, STX(BPF_DW, 10, (s16)off, 2));
	}
	for (u32 r = 0; r <= 9; r++) {
		if (r == 1 || (g->in_sub && r >= 1 && r <= 5))
			continue;
		if (g->in_sub)
			put(g, MOV64(r, 1 + gen_below(g, 5)));
		else if (kernel)
			put_imm64(g, r, value(g));
		else
			put(g, LDX(BPF_DW, r, 1, (s16)(8 * gen_below(g, 21))));
	}
	if (!g->in_sub)
		put_imm64(g, 1, value(g));
}

/* Some or all of what was computed goes into R0. */
static void finish(struct gen *g)
{
	bool all = gen_below(g, 2);

	land(g, true);
	for (u32 r = 1; r <= 9; r++)
		if (all || gen_below(g, 2)) {
			put(g, ALU64I(BPF_MUL, 0, 31));
			put(g, ALU64(BPF_XOR, 0, r));
		}
	for (s32 off = -(s32)g->depth; off < 0; off += 8)
		if (all || gen_below(g, 4) == 0) {
			put(g, LDX(BPF_DW, 1, 10, (s16)off));
			put(g, ALU64I(BPF_MUL, 0, 31));
			put(g, ALU64(BPF_XOR, 0, 1));
		}
	if (g->flags & GEN_KERNEL && !g->in_sub) { /* the test run shows 32 bits */
		put(g, MOV64(1, 0));
		put(g, ALU64I(BPF_RSH, 1, 32));
		put(g, ALU64(BPF_XOR, 0, 1));
	}
	put(g, EXIT());
}

void gen_init(struct gen *g, struct jt *t, const void *bytes, size_t n, u64 seed, u32 flags)
{
	*g = (struct gen){.t = t, .bytes = bytes, .nbytes = n, .flags = flags, .state = seed | 1};
	for (size_t i = 0; i < n; i++)
		g->state = (g->state ^ g->bytes[i]) * 0x9e3779b97f4a7c15ull | 1;
}

void gen_program(struct gen *g, u32 statements)
{
	struct jt *t = g->t;

	jt_init(t, NULL, 0);
	if (!(g->flags & GEN_KERNEL)) {
		jt_map(t, BPF_MAP_TYPE_ARRAY, 16, 6, 1);
		jt_map(t, BPF_MAP_TYPE_ARRAY, 40, 1, 1);
		jt_map(t, BPF_MAP_TYPE_PERCPU_ARRAY, 16, 5, 256);
		jt_map(t, BPF_MAP_TYPE_PERCPU_ARRAY, 24, 3, 300);
	}
	t->no_rdpid = gen_below(g, 4) == 0;
	t->no_bmi2 = gen_below(g, 3) == 0;
	begin(g);
	g->body = t->n;
	while (statements--)
		statement(g);
	finish(g);
	if (g->nsub_calls) {
		for (u32 i = 0; i < g->nsub_calls; i++)
			t->insn[g->sub_call[i]].imm = (s32)(t->n - g->sub_call[i] - 1);
		g->in_sub = true;
		g->sub = t->n;
		begin(g);
		g->sub_body = t->n;
		for (u32 k = 0; k < 10; k++)
			statement(g);
		finish(g);
	}
}
