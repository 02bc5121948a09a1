/* SPDX-License-Identifier: MIT */
#include "jit/x86_64/lower.h"

#include "abi/bpf.h"

#include <errno.h>

static bool is_w64(const struct bpf_insn *insn)
{
	return BPF_CLASS(insn->code) == BPF_ALU64;
}

static bool is_reg(const struct bpf_insn *insn)
{
	return BPF_SRC(insn->code) == BPF_X;
}

static void lower_plain(struct lower *l, const struct bpf_insn *insn, enum x86_alu op)
{
	enum x86_reg dst = lower_def(l, insn->dst_reg);

	if (is_reg(insn))
		x86_alu(&l->w, op, is_w64(insn), dst, lower_reg(l, insn->src_reg));
	else
		x86_alu_imm(&l->w, op, is_w64(insn), dst, insn->imm);
}

static void lower_mul(struct lower *l, const struct bpf_insn *insn)
{
	enum x86_reg dst = lower_def(l, insn->dst_reg);

	if (is_reg(insn))
		x86_imul(&l->w, is_w64(insn), dst, lower_reg(l, insn->src_reg));
	else
		x86_imul_imm(&l->w, is_w64(insn), dst, dst, insn->imm);
}

/* An address in the arena as the loader has it: the upper half is that of all of them. NULL stays NULL. */
static void lower_cast(struct lower *l, const struct bpf_insn *insn)
{
	const struct nt_map_view *v = &l->p->in->maps[l->p->in->facts->insn[l->i].map_index];
	enum x86_reg src = lower_reg(l, insn->src_reg), dst = lower_def(l, insn->dst_reg);
	u32 null;

	x86_mov(&l->w, false, dst, src);
	if (v->flags & NT_BPF_F_NO_USER_CONV)
		return;
	x86_test(&l->w, false, dst, dst);
	null = x86_jcc8_fwd(&l->w, X86_CC_E);
	x86_mov_imm(&l->w, lower_touch(l, X86_R11), v->extra & ~(u64)UINT32_MAX);
	x86_alu(&l->w, X86_OR, true, dst, X86_R11);
	x86_patch8_here(&l->w, null);
}

static void lower_mov(struct lower *l, const struct bpf_insn *insn)
{
	enum x86_reg dst = lower_def(l, insn->dst_reg), src = lower_reg(l, insn->src_reg);
	bool w64 = is_w64(insn);

	if (ebpf_insn_is_cast(insn)) {
		lower_cast(l, insn);
		return;
	}
	if (!is_reg(insn))
		x86_mov_imm(&l->w, dst, w64 ? (u64)(s64)insn->imm : (u32)insn->imm);
	else if (insn->off)
		x86_movsx(&l->w, w64, (u32)insn->off / 8, dst, src);
	else if (dst != src || !w64)
		x86_mov(&l->w, w64, dst, src);
}

/*
 * Shift by a register: without BMI2 the machine takes the count in cl, which is R4. The count is masked by the
 * machine as BPF wants it. When R4 itself is shifted the value moves to r11 and back.
 */
static void lower_shift_reg(struct lower *l, const struct bpf_insn *insn, enum x86_shift op)
{
	enum x86_reg dst = lower_def(l, insn->dst_reg), src = lower_reg(l, insn->src_reg);
	bool w64 = is_w64(insn), save = lower_live(l, 4);

	if (l->p->in->has_bmi2) {
		x86_shift_reg(&l->w, op, w64, dst, dst, src);
		return;
	}
	if (dst == X86_RCX) {
		lower_touch(l, X86_R11);
		x86_mov(&l->w, w64, X86_R11, X86_RCX);
		if (src != X86_RCX)
			x86_mov(&l->w, false, X86_RCX, src);
		x86_shift_cl(&l->w, op, w64, X86_R11);
		x86_mov(&l->w, w64, X86_RCX, X86_R11);
		return;
	}
	if (src == X86_RCX) {
		x86_shift_cl(&l->w, op, w64, dst);
		return;
	}
	lower_touch(l, X86_RCX);
	if (save)
		x86_mov(&l->w, true, lower_touch(l, X86_R11), X86_RCX);
	x86_mov(&l->w, false, X86_RCX, src);
	x86_shift_cl(&l->w, op, w64, dst);
	if (save)
		x86_mov(&l->w, true, X86_RCX, X86_R11);
}

static void lower_shift(struct lower *l, const struct bpf_insn *insn, enum x86_shift op)
{
	bool w64 = is_w64(insn);
	enum x86_reg dst = lower_def(l, insn->dst_reg);
	u8 count = (u8)insn->imm & (w64 ? 63 : 31);

	if (is_reg(insn))
		lower_shift_reg(l, insn, op);
	else if (count)
		x86_shift_imm(&l->w, op, w64, dst, count);
	else if (!w64) /* a count of zero does not clear the upper half */
		x86_mov(&l->w, false, dst, dst);
}

/* JIT_ROT */
void lower_rotate(struct lower *l, const struct bpf_insn *insn)
{
	const struct jit_note *note = &l->p->note[l->i];
	enum x86_reg src = lower_reg(l, insn->src_reg), dst = lower_def(l, l->p->insns[note->last].dst_reg);
	bool w64 = is_w64(insn);

	if (l->p->in->has_bmi2 && dst != src) {
		x86_rorx(&l->w, w64, dst, src, (u8)((w64 ? 64 : 32) - note->mid));
		return;
	}
	if (dst != src)
		x86_mov(&l->w, w64, dst, src);
	x86_shift_imm(&l->w, X86_ROL, w64, dst, (u8)note->mid);
}

/* BPF_END: to little endian truncates, to big endian and BSWAP (ALU64) swap. */
static void lower_end(struct lower *l, const struct bpf_insn *insn)
{
	enum x86_reg dst = lower_def(l, insn->dst_reg);
	bool swap = is_w64(insn) || is_reg(insn);

	switch (insn->imm) {
	case 16:
		if (swap)
			x86_bswap16(&l->w, dst);
		x86_movzx(&l->w, 2, dst, dst);
		break;
	case 32:
		if (swap)
			x86_bswap(&l->w, false, dst);
		else
			x86_mov(&l->w, false, dst, dst);
		break;
	default:
		if (swap)
			x86_bswap(&l->w, true, dst);
	}
}

void lower_alu(struct lower *l, const struct bpf_insn *insn)
{
	switch (BPF_OP(insn->code)) {
	case BPF_ADD: lower_plain(l, insn, X86_ADD); break;
	case BPF_SUB: lower_plain(l, insn, X86_SUB); break;
	case BPF_OR: lower_plain(l, insn, X86_OR); break;
	case BPF_AND: lower_plain(l, insn, X86_AND); break;
	case BPF_XOR: lower_plain(l, insn, X86_XOR); break;
	case BPF_MUL: lower_mul(l, insn); break;
	case BPF_MOV: lower_mov(l, insn); break;
	case BPF_LSH: lower_shift(l, insn, X86_SHL); break;
	case BPF_RSH: lower_shift(l, insn, X86_SHR); break;
	case BPF_ARSH: lower_shift(l, insn, X86_SAR); break;
	case BPF_NEG: x86_unary(&l->w, X86_NEG, is_w64(insn), lower_def(l, insn->dst_reg)); break;
	case BPF_END: lower_end(l, insn); break;
	case BPF_DIV:
	case BPF_MOD: lower_div(l, insn); break;
	default: l->b->error = -EINVAL;
	}
}
