/* SPDX-License-Identifier: MIT */
/*
 * Division. The machine divides rdx:rax and traps on zero and on INT_MIN / -1; BPF does neither:
 *
 *     x / 0 = 0        x % 0 = x        INT_MIN / -1 = INT_MIN        INT_MIN % -1 = 0
 *
 * rax and rdx are R0 and R3: they are parked in r9 and r10 if somebody still needs them. The
 * divisor goes to r11, so that it may have been any register.
 */
#include "jit/x86_64/lower.h"

struct div {
	enum x86_reg dst;
	bool w64, mod, sign, reg;
	s32 imm;
};

/* Unsigned by a power of two: a shift or a mask. */
static bool div_by_pow2(struct lower *l, const struct div *d)
{
	u64 v = d->w64 ? (u64)(s64)d->imm : (u32)d->imm;
	u8 k = (u8)__builtin_ctzll(v);

	if (d->sign || v & (v - 1))
		return false;
	if (d->mod && v <= 0x80000000u) {
		if (k < 31)
			x86_alu_imm(&l->w, X86_AND, false, d->dst, (s32)(v - 1));
		else
			x86_alu_imm(&l->w, X86_AND, false, d->dst, 0x7fffffff);
		return true;
	}
	if (d->mod)
		return false;
	if (k)
		x86_shift_imm(&l->w, X86_SHR, d->w64, d->dst, k);
	else if (!d->w64)
		x86_mov(&l->w, false, d->dst, d->dst);
	return true;
}

static void div_special(struct lower *l, const struct div *d)
{
	if (d->mod)
		x86_alu(&l->w, X86_XOR, false, d->dst, d->dst);
	else
		x86_unary(&l->w, X86_NEG, d->w64, d->dst);
}

/* The division itself; divisor in r11, neither 0 nor (signed) -1. */
static void div_core(struct lower *l, const struct div *d, bool live_r0, bool live_r3)
{
	bool save_rax = live_r0 && d->dst != X86_RAX, save_rdx = live_r3 && d->dst != X86_RDX;
	enum x86_reg result = d->mod ? X86_RDX : X86_RAX;

	if (save_rax)
		x86_mov(&l->w, true, lower_touch(l, X86_R9), X86_RAX);
	if (save_rdx)
		x86_mov(&l->w, true, lower_touch(l, X86_R10), X86_RDX);
	lower_touch(l, X86_RAX);
	lower_touch(l, X86_RDX);
	if (d->dst != X86_RAX)
		x86_mov(&l->w, d->w64, X86_RAX, d->dst);
	if (d->sign)
		x86_cqo(&l->w, d->w64);
	else
		x86_alu(&l->w, X86_XOR, false, X86_RDX, X86_RDX);
	x86_unary(&l->w, d->sign ? X86_IDIV : X86_DIV, d->w64, X86_R11);
	if (d->dst != result)
		x86_mov(&l->w, d->w64, d->dst, result);
	if (save_rax)
		x86_mov(&l->w, true, X86_RAX, X86_R9);
	if (save_rdx)
		x86_mov(&l->w, true, X86_RDX, X86_R10);
}

/* Divisor in a register: look at its value first. */
static void div_reg(struct lower *l, const struct div *d, bool live_r0, bool live_r3)
{
	u32 zero, special = 0, done, done_special = 0;

	x86_test(&l->w, d->w64, X86_R11, X86_R11);
	zero = x86_jcc8_fwd(&l->w, X86_CC_E);
	if (d->sign) {
		x86_alu_imm(&l->w, X86_CMP, d->w64, X86_R11, -1);
		special = x86_jcc8_fwd(&l->w, X86_CC_E);
	}
	div_core(l, d, live_r0, live_r3);
	done = x86_jmp8_fwd(&l->w);
	if (d->sign) {
		x86_patch8_here(&l->w, special);
		div_special(l, d);
		done_special = x86_jmp8_fwd(&l->w);
	}
	x86_patch8_here(&l->w, zero);
	if (!d->mod)
		x86_alu(&l->w, X86_XOR, false, d->dst, d->dst);
	else if (!d->w64)
		x86_mov(&l->w, false, d->dst, d->dst);
	x86_patch8_here(&l->w, done);
	if (d->sign)
		x86_patch8_here(&l->w, done_special);
}

void lower_div(struct lower *l, const struct bpf_insn *insn)
{
	bool live_r0 = lower_live(l, 0), live_r3 = lower_live(l, 3);
	struct div d = {
	    .dst = lower_def(l, insn->dst_reg),
	    .w64 = BPF_CLASS(insn->code) == BPF_ALU64,
	    .mod = BPF_OP(insn->code) == BPF_MOD,
	    .sign = insn->off == 1,
	    .reg = BPF_SRC(insn->code) == BPF_X,
	    .imm = insn->imm,
	};

	if (!d.reg && d.sign && d.imm == -1) {
		div_special(l, &d);
		return;
	}
	if (!d.reg && div_by_pow2(l, &d))
		return;
	lower_touch(l, X86_R11);
	if (d.reg) {
		x86_mov(&l->w, d.w64, X86_R11, lower_reg(l, insn->src_reg));
		div_reg(l, &d, live_r0, live_r3);
	} else {
		x86_mov_imm(&l->w, X86_R11, d.w64 ? (u64)(s64)d.imm : (u32)d.imm);
		div_core(l, &d, live_r0, live_r3);
	}
}
