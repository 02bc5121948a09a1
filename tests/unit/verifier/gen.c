/* SPDX-License-Identifier: MIT */
#include "gen.h"

#include "asm.h"
#include "ebpf/kfuncs.h"

u32 gen_below(struct gen_input *in, u32 n)
{
	u32 v;

	if (in->pos + 2 <= in->n) {
		v = (u32)in->data[in->pos] << 8 | in->data[in->pos + 1];
		in->pos += 2;
		return v % n;
	}
	in->state ^= in->state << 13;
	in->state ^= in->state >> 7;
	in->state ^= in->state << 17;
	return (u32)(in->state >> 33) % n;
}

u64 gen_number(struct gen_input *in)
{
	static const u64 some[] = {0,	      1,	  2,	      3,	  7,	      8,
				   15,	      16,	  31,	      32,	  40,	      47,
				   48,	      56,	  63,	      64,	  127,	      128,
				   255,	      256,	  0x7fffffff, 0x80000000, 0xffffffff, ~0ull,
				   ~0ull - 7, ~0ull - 15, 1ull << 32, 1ull << 63};
	u32 n = sizeof(some) / sizeof(some[0]);

	return gen_below(in, 5) ? some[gen_below(in, n)] : (u64)gen_below(in, 65536) << gen_below(in, 48);
}


static void put(struct gen_builder *b, struct bpf_insn in)
{
	if (b->n < GEN_MAX_INSNS)
		b->insn[b->n++] = in;
}

static void put2(struct gen_builder *b, const struct bpf_insn *in)
{
	put(b, in[0]);
	put(b, in[1]);
}

static void land(struct gen_builder *b, struct gen_input *in, bool all)
{
	u32 i;

	for (i = 0; i < b->npending;) {
		if (!all && gen_below(in, 3)) {
			i++;
			continue;
		}
		b->insn[b->pending[i]].off = (s16)(b->n - b->pending[i] - 1);
		b->pending[i] = b->pending[--b->npending];
	}
}

/* R0-R5 hold numbers, R6 = ctx, R7 = element of the array, R8 = global data, R9 a number that calls
 * keep. */
static u32 num(struct gen_input *in)
{
	return gen_below(in, 7) == 6 ? R9 : gen_below(in, 6);
}

static void put_alu(struct gen_builder *b, struct gen_input *in)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,   BPF_AND, BPF_LSH,
				 BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH, BPF_AND, BPF_RSH};
	u8 op = ops[gen_below(in, sizeof(ops))], class = gen_below(in, 2) ? BPF_ALU64 : BPF_ALU;
	bool shift = op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH,
	     div = op == BPF_DIV || op == BPF_MOD;
	s32 imm = (s32)gen_number(in);

	if (gen_below(in, 12) == 0) {
		put(b, INSN(class | BPF_NEG, num(in), 0, 0, 0));
	} else if (gen_below(in, 10) == 0) {
		bool to_be = class == BPF_ALU && gen_below(in, 2);

		put(b, INSN(class | BPF_END | (to_be ? BPF_X : BPF_K), num(in), 0, 0, 16 << gen_below(in, 3)));
	} else if (op == BPF_MOV && gen_below(in, 2)) {
		put(b, INSN(class | BPF_MOV | BPF_X, num(in), num(in), gen_below(in, 3) * 8, 0));
	} else if (gen_below(in, 3)) {
		if (shift)
			imm &= class == BPF_ALU ? 31 : 63;
		if (div && !imm)
			imm = 3;
		put(b, INSN(class | op | BPF_K, num(in), 0, div ? gen_below(in, 2) : 0, imm));
	} else {
		put(b, INSN(class | op | BPF_X, num(in), num(in), div ? gen_below(in, 2) : 0, 0));
	}
}

static void put_branch(struct gen_builder *b, struct gen_input *in)
{
	static const u8 ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,	 BPF_JLT, BPF_JLE,
				 BPF_JSET, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE};
	u8 class = gen_below(in, 2) ? BPF_JMP : BPF_JMP32, op = ops[gen_below(in, sizeof(ops))];

	if (b->n >= GEN_MAX_INSNS)
		return;
	b->pending[b->npending++] = b->n;
	if (gen_below(in, 3))
		put(b, INSN(class | op | BPF_K, num(in), 0, 0, gen_number(in)));
	else
		put(b, INSN(class | op | BPF_X, num(in), num(in), 0, 0));
}

static void put_refill(struct gen_builder *b, struct gen_input *in)
{
	u32 size = 1u << gen_below(in, 4), off = gen_below(in, 168 / size) * size, d = num(in);

	if (gen_below(in, 6) == 0 && size < 8)
		put(b, LDSX(size, d, R6, off));
	else
		put(b, LD(size, d, R6, off));
}

static void put_stack(struct gen_builder *b, struct gen_input *in)
{
	u32 size = gen_below(in, 2) ? 8 : 1u << gen_below(in, 4);
	s32 off = -(s32)(gen_below(in, 64 / size) + 1) * (s32)size;

	switch (gen_below(in, 5)) {
	case 0: put(b, STI(size, R10, off, gen_number(in))); break;
	case 1:
	case 2: put(b, ST(size, R10, off, num(in))); break;
	default: put(b, LD(size, num(in), R10, off));
	}
}

/* Bound a number in one of many ways, then use it as an index. */
static void put_index(struct gen_builder *b, struct gen_input *in)
{
	u32 r = gen_below(in, 6), base = gen_below(in, 3), tmp = gen_below(in, 6), size = 1u << gen_below(in, 4);
	u32 span = base == 0 ? 48 : 64;
	u32 bound = gen_below(in, span + 4);

	switch (gen_below(in, 6)) {
	case 0: put(b, ALUI(BPF_AND, r, bound)); break;
	case 1:
	case 2:
		if (b->n < GEN_MAX_INSNS)
			b->pending[b->npending++] = b->n;
		put(b, INSN((gen_below(in, 2) ? BPF_JMP : BPF_JMP32) |
				(gen_below(in, 2) ? BPF_JGT : BPF_JSGT) | BPF_K,
			    r, 0, 0, bound));
		break;
	case 3: put(b, ALUI(BPF_RSH, r, 58 + gen_below(in, 6))); break;
	case 4: put(b, INSN(BPF_ALU | BPF_AND | BPF_K, r, 0, 0, bound)); break;
	default: break; /* perhaps it is bounded already */
	}
	if (gen_below(in, 3) == 0)
		put_alu(b, in);
	if (tmp == r)
		tmp = (r + 1) % 6;
	put(b, MOV(tmp, base == 0 ? R7 : base == 1 ? R8 : R10));
	if (base == 2)
		put(b, ADDI(tmp, -64));
	if (base == 2 && gen_below(in, 2))
		put(b, ALUI(BPF_AND, r, -8)), size = 8;
	put(b, ALU(gen_below(in, 6) || base == 2 ? BPF_ADD : BPF_SUB, tmp, r));
	if (gen_below(in, 6) == 0)
		put(b, ADDI(tmp, (s32)gen_below(in, 24) - 8));
	switch (gen_below(in, 4)) {
	case 0: put(b, ST(size, tmp, gen_below(in, 8), num(in))); break;
	case 1: put(b, ATOMIC(8, gen_below(in, 2) ? BPF_ADD : BPF_ADD | BPF_FETCH, tmp, 0, r)); break;
	default: put(b, LD(size, r, tmp, gen_below(in, 3) ? 0 : (s32)gen_below(in, 24) - 8));
	}
	put(b, MOVI(tmp, gen_number(in)));
}

static void put_probe_read(struct gen_builder *b, struct gen_input *in)
{
	u32 r = num(in), i;

	put(b, MOV(R2, r));
	if (gen_below(in, 3))
		put(b, ALUI(BPF_AND, R2, gen_below(in, 80)));
	put(b, MOV(R1, gen_below(in, 3) ? R10 : R7));
	if (b->n && b->insn[b->n - 1].src_reg == R10)
		put(b, ADDI(R1, -(s32)(gen_below(in, 12) * 8)));
	put(b, MOVI(R3, 0));
	put(b, CALL(gen_below(in, 2) ? BPF_FUNC_probe_read_user : BPF_FUNC_probe_read_user_str));
	for (i = 1; i <= 5; i++)
		put(b, i % 2 ? MOV(i, R9) : LD(8, i, R6, i * 8));
}

static void put_loop(struct gen_builder *b, struct gen_input *in)
{
	u32 start, rounds = 1 + gen_below(in, 12);

	put(b, STI(8, R10, -72, 0));
	start = b->n;
	put_alu(b, in);
	put_stack(b, in);
	put(b, LD(8, R5, R10, -72));
	put(b, ADDI(R5, 1));
	put(b, ST(8, R10, -72, R5));
	put(b, JI(BPF_JLT, R5, rounds, (s32)start - (s32)b->n - 1));
}

static void put_body(struct gen_builder *b, struct gen_input *in)
{
	u32 n = 1 + gen_below(in, 3);

	while (n--) {
		switch (gen_below(in, 4)) {
		case 0: put_stack(b, in); break;
		case 1: put_index(b, in); break;
		default: put_alu(b, in);
		}
	}
}

static void refill(struct gen_builder *b, u32 first)
{
	for (u32 i = first; i <= 5; i++)
		put(b, LD(8, i, R6, i * 8));
}

/* Sets the jump at insn to land here. */
static void land_one(struct gen_builder *b, u32 insn)
{
	if (insn < GEN_MAX_INSNS)
		b->insn[insn].off = (s16)(b->n - insn - 1);
}

static void put_may_goto(struct gen_builder *b, struct gen_input *in)
{
	u32 start = b->n;

	put(b, MAY_GOTO(0));
	put_body(b, in);
	put(b, JA((s32)start - (s32)b->n - 1));
	land_one(b, start);
}

static void put_iter_arg(struct gen_builder *b)
{
	put(b, MOV(R1, R10));
	put(b, ADDI(R1, -88));
}

static void put_iter(struct gen_builder *b, struct gen_input *in)
{
	u32 start, end;

	put_iter_arg(b);
	put(b, MOVI(R2, gen_below(in, 3)));
	put(b, MOVI(R3, gen_below(in, 8)));
	put(b, KCALL(ITER_NUM_NEW));
	start = b->n;
	put_iter_arg(b);
	put(b, KCALL(ITER_NUM_NEXT));
	end = b->n;
	put(b, JI(BPF_JEQ, R0, 0, 0));
	put(b, LD(4, R0, R0, 0));
	refill(b, R1);
	put_body(b, in);
	put(b, JA((s32)start - (s32)b->n - 1));
	land_one(b, end);
	put_iter_arg(b);
	put(b, KCALL(ITER_NUM_DESTROY));
	refill(b, R0);
}

static void put_callback_loop(struct gen_builder *b, struct gen_input *in)
{
	put(b, MOVI(R1, gen_below(in, 6)));
	b->callers[b->ncallers++] = b->n;
	put2(b, (struct bpf_insn[]){LDFUNC(R2, 0)});
	put(b, MOV(R3, R10));
	put(b, ADDI(R3, -64));
	put(b, MOVI(R4, 0));
	put(b, CALL(BPF_FUNC_loop));
	refill(b, R1);
}

/* u64 callback(index, data): changes a word of the caller's stack. */
static void put_callback(struct gen_builder *b, struct gen_input *in)
{
	s32 off = (s32)gen_below(in, 8) * 8;

	b->cb = b->n;
	for (u32 i = 0; i < b->ncallers; i++)
		b->insn[b->callers[i]].imm = (s32)(b->cb - b->callers[i] - 1);
	put(b, LD(8, R3, R2, off));
	put(b, INSN(gen_below(in, 2) ? BPF_ALU64 | BPF_ADD : BPF_ALU64 | BPF_XOR, R3, 0, 0, gen_below(in, 9)));
	if (gen_below(in, 2))
		put(b, ALU(BPF_ADD, R3, R1));
	if (gen_below(in, 3) == 0)
		put(b, ALUI(BPF_AND, R3, 63));
	put(b, ST(8, R2, off, R3));
	put(b, MOV(R0, R3));
	put(b, ALUI(BPF_AND, R0, 1));
	put(b, EXIT());
}

static void put_counted(struct gen_builder *b, struct gen_input *in)
{
	if (b->n > GEN_MAX_INSNS - 60)
		return;
	switch (gen_below(in, 3)) {
	case 0: put_may_goto(b, in); break;
	case 1: put_iter(b, in); break;
	default: put_callback_loop(b, in);
	}
}

void gen_build(struct gen_builder *b, struct gen_input *in)
{
	u32 i, steps = in->max_steps ? 1 + gen_below(in, in->max_steps) : 4 + gen_below(in, 28);

	put(b, MOV(R6, R1));
	put(b, STI(4, R10, -80, 1));
	put(b, MOV(R2, R10));
	put(b, ADDI(R2, -80));
	put2(b, (struct bpf_insn[]){LDMAP(R1, GEN_ARRAY)});
	put(b, CALL(BPF_FUNC_map_lookup_elem));
	put(b, JI(BPF_JNE, R0, 0, 1));
	put(b, EXIT());
	put(b, MOV(R7, R0));
	put2(b, (struct bpf_insn[]){LDVAL(R8, GEN_DATA, 0)});
	for (i = 0; i <= 5; i++)
		put(b, LD(8, i, R6, i * 8));
	put(b, LD(8, R9, R6, 48));
	for (i = 0; i < steps && b->n < GEN_MAX_INSNS - 30; i++) {
		if (in->counted && gen_below(in, 4) == 0)
			put_counted(b, in);
		switch (gen_below(in, 16)) {
		case 0:
		case 1:
		case 2: put_branch(b, in); break;
		case 3: put_refill(b, in); break;
		case 4:
		case 5:
		case 6: put_stack(b, in); break;
		case 7:
		case 8:
		case 9: put_index(b, in); break;
		case 10: put_probe_read(b, in); break;
		case 11: put_loop(b, in); break;
		default: put_alu(b, in);
		}
		land(b, in, false);
	}
	land(b, in, true);
	put(b, MOVI(R0, 0));
	put(b, EXIT());
	if (b->ncallers)
		put_callback(b, in);
}
