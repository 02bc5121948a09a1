/* SPDX-License-Identifier: MIT */
#include "jit/aarch64/lower.h"

#include "abi/bpf.h"

#include <errno.h>

#include "base/bits.h"

static bool is_w64(const struct bpf_insn *insn)
{
	return BPF_CLASS(insn->code) == BPF_ALU64;
}

static bool is_reg(const struct bpf_insn *insn)
{
	return BPF_SRC(insn->code) == BPF_X;
}

/* The immediate as the operation sees it. */
static u64 number_of(const struct bpf_insn *insn)
{
	return is_w64(insn) ? (u64)(s64)insn->imm : (u32)insn->imm;
}

/* The second operand in a register. */
static enum a64_reg operand(struct arm_lower *l, const struct bpf_insn *insn)
{
	if (is_reg(insn))
		return arm_value(l, insn->src_reg, ARM_T1);
	return arm_number(l, ARM_T1, number_of(insn));
}

static void lower_sum(struct arm_lower *l, const struct bpf_insn *insn, bool sub)
{
	enum a64_reg dst = arm_def(l, insn->dst_reg);
	u64 plus = (u64)(s64)insn->imm, minus = 0 - plus;

	if (!is_reg(insn) && a64_arith_fits(plus))
		a64_arith_imm(&l->w, sub ? A64_SUB : A64_ADD, is_w64(insn), dst, dst, plus);
	else if (!is_reg(insn) && a64_arith_fits(minus))
		a64_arith_imm(&l->w, sub ? A64_ADD : A64_SUB, is_w64(insn), dst, dst, minus);
	else
		a64_arith(&l->w, sub ? A64_SUB : A64_ADD, is_w64(insn), dst, dst, operand(l, insn));
}

static void lower_logic(struct arm_lower *l, const struct bpf_insn *insn, enum a64_logic op)
{
	enum a64_reg dst = arm_def(l, insn->dst_reg);

	if (!is_reg(insn) && a64_logic_fits(is_w64(insn), number_of(insn)))
		a64_logic_imm(&l->w, op, is_w64(insn), dst, dst, number_of(insn));
	else
		a64_logic(&l->w, op, is_w64(insn), dst, dst, operand(l, insn));
}

static void lower_shift(struct arm_lower *l, const struct bpf_insn *insn, enum a64_two op)
{
	enum a64_reg dst = arm_def(l, insn->dst_reg);

	if (is_reg(insn)) /* the machine masks the count as BPF does */
		a64_two(&l->w, op, is_w64(insn), dst, dst, operand(l, insn));
	else
		a64_shift_imm(&l->w, op, is_w64(insn), dst, dst, (u32)insn->imm & (is_w64(insn) ? 63 : 31));
}

/* An address in the arena as the loader has it; NULL stays NULL. */
static void lower_cast(struct arm_lower *l, const struct bpf_insn *insn)
{
	const struct nt_map_view *v = &l->p->in->maps[l->p->in->facts->insn[l->i].map_index];
	enum a64_reg dst = arm_def(l, insn->dst_reg);
	u32 null;

	a64_mov(&l->w, false, dst, arm_value(l, insn->src_reg, ARM_T1));
	if (v->flags & NT_BPF_F_NO_USER_CONV)
		return;
	a64_arith(&l->w, A64_SUBS, false, A64_ZR, dst, A64_ZR);
	null = arm_forward(l, A64_EQ);
	a64_logic(&l->w, A64_ORR, true, dst, dst, arm_number(l, ARM_T1, v->extra & ~(u64)UINT32_MAX));
	a64_patch_here(&l->w, null);
}

static void lower_mov(struct arm_lower *l, const struct bpf_insn *insn)
{
	enum a64_reg dst = arm_def(l, insn->dst_reg), src;
	bool w64 = is_w64(insn);

	if (ebpf_insn_is_cast(insn)) {
		lower_cast(l, insn);
		return;
	}
	if (!is_reg(insn)) {
		a64_mov_imm(&l->w, dst, number_of(insn));
		return;
	}
	if (insn->src_reg == JIT_FP && w64 && !insn->off) {
		arm_value(l, JIT_FP, dst);
		return;
	}
	src = arm_value(l, insn->src_reg, ARM_T1);
	if (insn->off)
		a64_sxt(&l->w, w64, (u32)insn->off / 8, dst, src);
	else if (dst != src || !w64)
		a64_mov(&l->w, w64, dst, src);
}

/* Unsigned by a power of two: a shift or a mask. */
static bool div_by_pow2(struct arm_lower *l, const struct bpf_insn *insn, enum a64_reg dst)
{
	u64 v = number_of(insn);

	if (is_reg(insn) || insn->off || !bits_is_pow2(v))
		return false;
	if (BPF_OP(insn->code) == BPF_DIV)
		a64_shift_imm(&l->w, A64_LSR, is_w64(insn), dst, dst, (u32)__builtin_ctzll(v));
	else if (v == 1)
		a64_mov_imm(&l->w, dst, 0);
	else
		a64_logic_imm(&l->w, A64_AND, is_w64(insn), dst, dst, v - 1);
	return true;
}

/*
 * The machine divides as BPF wants it: x / 0 = 0, INT_MIN / -1 = INT_MIN. So x - (x / y) * y is right as well:
 * x % 0 = x, INT_MIN % -1 = 0.
 */
static void lower_div(struct arm_lower *l, const struct bpf_insn *insn)
{
	enum a64_reg dst = arm_def(l, insn->dst_reg), by;
	enum a64_two op = insn->off ? A64_SDIV : A64_UDIV;
	bool w64 = is_w64(insn);

	if (div_by_pow2(l, insn, dst))
		return;
	by = operand(l, insn);
	if (BPF_OP(insn->code) == BPF_DIV) {
		a64_two(&l->w, op, w64, dst, dst, by);
		return;
	}
	a64_two(&l->w, op, w64, arm_touch(l, ARM_T2), dst, by);
	a64_msub(&l->w, w64, dst, ARM_T2, by, dst);
}

/* BPF_END: to little endian truncates, to big endian and BSWAP (ALU64) swap. */
static void lower_end(struct arm_lower *l, const struct bpf_insn *insn)
{
	enum a64_reg dst = arm_def(l, insn->dst_reg);
	bool swap = is_w64(insn) || is_reg(insn);

	if (swap)
		a64_rev(&l->w, (u32)insn->imm / 8, dst, dst);
	if (insn->imm == 16)
		a64_uxt(&l->w, 2, dst, dst);
	else if (insn->imm == 32 && !swap)
		a64_mov(&l->w, false, dst, dst);
}

void arm_alu(struct arm_lower *l, const struct bpf_insn *insn)
{
	enum a64_reg dst;

	switch (BPF_OP(insn->code)) {
	case BPF_ADD: lower_sum(l, insn, false); break;
	case BPF_SUB: lower_sum(l, insn, true); break;
	case BPF_OR: lower_logic(l, insn, A64_ORR); break;
	case BPF_AND: lower_logic(l, insn, A64_AND); break;
	case BPF_XOR: lower_logic(l, insn, A64_EOR); break;
	case BPF_MUL:
		dst = arm_def(l, insn->dst_reg);
		a64_madd(&l->w, is_w64(insn), dst, dst, operand(l, insn), A64_ZR);
		break;
	case BPF_MOV: lower_mov(l, insn); break;
	case BPF_LSH: lower_shift(l, insn, A64_LSL); break;
	case BPF_RSH: lower_shift(l, insn, A64_LSR); break;
	case BPF_ARSH: lower_shift(l, insn, A64_ASR); break;
	case BPF_NEG:
		dst = arm_def(l, insn->dst_reg);
		a64_arith(&l->w, A64_SUB, is_w64(insn), dst, A64_ZR, dst);
		break;
	case BPF_END: lower_end(l, insn); break;
	case BPF_DIV:
	case BPF_MOD: lower_div(l, insn); break;
	default: l->b->error = -EINVAL;
	}
}
