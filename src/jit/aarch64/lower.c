/* SPDX-License-Identifier: MIT */
#include "jit/aarch64/lower.h"

#include "abi/payload.h"
#include "base/bits.h"

enum a64_reg arm_reg(u32 bpf_reg)
{
	static const u8 host[JIT_FP] = {A64_X7, A64_X0, A64_X1, A64_X2, A64_X3, A64_X4, A64_X19, A64_X20, A64_X21, A64_X22};

	return host[bpf_reg];
}

enum a64_reg arm_touch(struct arm_lower *l, enum a64_reg r)
{
	l->fn->written |= 1u << r;
	return r;
}

enum a64_reg arm_def(struct arm_lower *l, u32 bpf_reg)
{
	return arm_touch(l, arm_reg(bpf_reg));
}

u32 arm_area(const struct arm_lower *l)
{
	return l->fn->uses_fp ? bits_round_up(l->fn->depth, 16u) : 0;
}

enum a64_reg arm_value(struct arm_lower *l, u32 bpf_reg, enum a64_reg scratch)
{
	if (bpf_reg != JIT_FP)
		return arm_reg(bpf_reg);
	a64_arith_imm(&l->w, A64_ADD, true, arm_touch(l, scratch), A64_SP, arm_area(l));
	return scratch;
}

enum a64_reg arm_number(struct arm_lower *l, enum a64_reg scratch, u64 imm)
{
	if (!imm)
		return A64_ZR;
	a64_mov_imm(&l->w, arm_touch(l, scratch), imm);
	return scratch;
}

void arm_add(struct arm_lower *l, enum a64_reg rd, enum a64_reg rn, s64 v)
{
	if (a64_arith_fits((u64)v)) {
		a64_arith_imm(&l->w, A64_ADD, true, rd, rn, (u64)v);
	} else if (a64_arith_fits((u64)-v)) {
		a64_arith_imm(&l->w, A64_SUB, true, rd, rn, (u64)-v);
	} else {
		a64_mov_imm(&l->w, arm_touch(l, ARM_T1), (u64)v);
		a64_add_sp(&l->w, rd, rn, ARM_T1);
	}
}

struct arm_mem arm_operand(struct arm_lower *l, u32 bpf_reg, s32 off, u32 size)
{
	bool fp = bpf_reg == JIT_FP;
	struct arm_mem m = {.reg = fp ? A64_SP : arm_reg(bpf_reg), .off = fp ? (s64)arm_area(l) + off : off};

	if (a64_mem_fits(size, m.off))
		return m;
	a64_mov_imm(&l->w, arm_touch(l, ARM_T0), (u64)m.off);
	m.indexed = true;
	return m;
}

void arm_load(struct arm_lower *l, u32 size, enum a64_reg rt, const struct arm_mem *m)
{
	if (m->indexed)
		a64_load_reg(&l->w, size, rt, m->reg, ARM_T0);
	else
		a64_load(&l->w, size, rt, m->reg, m->off);
}

void arm_store(struct arm_lower *l, u32 size, enum a64_reg rt, const struct arm_mem *m)
{
	if (m->indexed)
		a64_store_reg(&l->w, size, rt, m->reg, ARM_T0);
	else
		a64_store(&l->w, size, rt, m->reg, m->off);
}

void arm_load_got(struct arm_lower *l, enum a64_reg rd, enum jit_got_kind kind, u32 index)
{
	u64 at = jit_build_got(l->b, kind, index), here = a64_here(&l->w);

	if (!l->far) {
		a64_load_lit(&l->w, rd, at);
		return;
	}
	a64_adr(&l->w, rd, here);
	a64_mov_s32(&l->w, arm_touch(l, ARM_T3), (s32)(at - here));
	a64_load_reg(&l->w, 8, rd, rd, ARM_T3);
}

/* Registers in the order they are saved in; pairs, the last one maybe with the zero register. */
static u32 saved_regs(const struct arm_lower *l, u8 ret[8])
{
	u32 n = 0;

	if (l->fn->calls) {
		ret[n++] = A64_FP;
		ret[n++] = A64_LR;
	}
	for (u32 r = A64_X19; r <= ARM_CTX; r++)
		if (l->fn->written >> r & 1)
			ret[n++] = (u8)r;
	if (n & 1)
		ret[n++] = A64_ZR;
	return n;
}

/*
 * Where a program with tail calls or signals begins:
 *     str wzr, [x0, NT_CTX_TAIL_CALLS]
 *     bl main; keep x0; call deliver_signals; x0 again; ret          or on into main
 */
static void arm_start(struct arm_lower *l)
{
	if (l->p->tail_calls)
		a64_store(&l->w, 4, A64_ZR, A64_X0, NT_CTX_TAIL_CALLS);
	l->b->tail_entry = l->w.len;
	if (!l->p->signals)
		return;
	l->fn = &l->p->func[0];
	a64_stp_pre(&l->w, A64_FP, A64_LR, A64_SP, -32);
	a64_arith_imm(&l->w, A64_ADD, true, A64_FP, A64_SP, 0);
	a64_bl(&l->w, (u64)l->b->code_off + l->p->func[0].entry);
	a64_store(&l->w, 8, A64_X0, A64_SP, 16);
	arm_load_got(l, ARM_T4, JIT_GOT_HELPER, NT_HELPER_DELIVER_SIGNALS);
	a64_blr(&l->w, ARM_T4);
	a64_load(&l->w, 8, A64_X0, A64_SP, 16);
	a64_ldp_post(&l->w, A64_FP, A64_LR, A64_SP, 32);
	a64_ret(&l->w);
}

void arm_prologue(struct arm_lower *l)
{
	bool ctx = l->p->keeps_ctx && l->fn == l->p->func;
	u32 area = arm_area(l), n;
	u8 saved[8];

	if (ctx)
		arm_touch(l, ARM_CTX);
	n = saved_regs(l, saved);
	for (u32 k = 0; k < n; k += 2) {
		if (k == 0)
			a64_stp_pre(&l->w, saved[0], saved[1], A64_SP, -8 * (s32)n);
		else
			a64_stp(&l->w, saved[k], saved[k + 1], A64_SP, 8 * (s32)k);
	}
	if (l->fn->calls)
		a64_arith_imm(&l->w, A64_ADD, true, A64_FP, A64_SP, 0);
	if (area)
		a64_arith_imm(&l->w, A64_SUB, true, A64_SP, A64_SP, area);
	l->fn->frame = 8 * n + area;
	if (ctx)
		a64_mov(&l->w, true, ARM_CTX, A64_X0);
	if (l->fn->counts && l->fn->uses_fp) {
		struct arm_mem m = arm_operand(l, JIT_FP, -(s32)l->fn->depth, 8);

		arm_store(l, 8, arm_number(l, ARM_T1, JIT_MAY_GOTO_MAX), &m);
	}
}

void arm_leave(struct arm_lower *l)
{
	u32 area = arm_area(l), n;
	u8 saved[8];

	n = saved_regs(l, saved);
	if (area)
		a64_arith_imm(&l->w, A64_ADD, true, A64_SP, A64_SP, area);
	for (u32 k = n; k > 0; k -= 2) {
		if (k == 2)
			a64_ldp_post(&l->w, saved[0], saved[1], A64_SP, 8 * (s32)n);
		else
			a64_ldp(&l->w, saved[k - 2], saved[k - 1], A64_SP, 8 * (s32)(k - 2));
	}
}

void arm_epilogue(struct arm_lower *l)
{
	a64_mov(&l->w, true, arm_touch(l, A64_X0), ARM_R0);
	arm_leave(l);
	a64_ret(&l->w);
	l->b->exits++;
	l->b->exit_end = l->w.len;
}

static void arm_lea(struct arm_lower *l, const struct bpf_insn *insn, s32 imm)
{
	enum a64_reg dst = arm_def(l, insn->dst_reg);

	if (insn->src_reg == JIT_FP)
		arm_add(l, dst, A64_SP, (s64)arm_area(l) + imm);
	else
		arm_add(l, dst, arm_reg(insn->src_reg), imm);
}

static void arm_rotate(struct arm_lower *l, const struct bpf_insn *insn)
{
	const struct jit_note *note = &l->p->note[l->i];
	bool w64 = BPF_CLASS(insn->code) == BPF_ALU64;

	a64_ror_imm(&l->w, w64, arm_def(l, l->p->insns[note->last].dst_reg), arm_reg(insn->src_reg), (w64 ? 64 : 32) - note->mid);
}

static void arm_insn(struct arm_lower *l, const struct bpf_insn *insn)
{
	const struct jit_note *note = &l->p->note[l->i];

	switch (note->action) {
	case JIT_SKIP: return;
	case JIT_GOTO: arm_branch(l, jit_target(insn, l->i)); return;
	case JIT_KEY: a64_mov(&l->w, false, arm_def(l, 0), arm_value(l, insn->src_reg, ARM_T1)); return;
	case JIT_RMW: arm_rmw(l); return;
	case JIT_IMM: arm_mem_imm(l, note->last, insn->imm); return;
	case JIT_ROT: arm_rotate(l, insn); return;
	case JIT_LEA: arm_lea(l, insn, l->p->insns[note->last].imm); return;
	}
	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64: arm_alu(l, insn); return;
	case BPF_LD:
		if (ebpf_insn_is_packet_load(insn))
			arm_packet_load(l, insn);
		else
			arm_ld_imm64(l, insn);
		return;
	case BPF_JMP:
	case BPF_JMP32:
		if (BPF_OP(insn->code) == BPF_CALL)
			arm_call(l, insn);
		else if (BPF_OP(insn->code) == BPF_EXIT)
			arm_epilogue(l);
		else
			arm_jump(l, insn);
		return;
	default:
		if (BPF_CLASS(insn->code) == BPF_STX && BPF_MODE(insn->code) == BPF_ATOMIC)
			arm_atomic(l, insn);
		else
			arm_mem(l, insn);
	}
}

static void aarch64_pass(struct jit_build *b, u8 *buf, u32 cap)
{
	struct arm_lower lower = {.b = b, .p = b->p, .far = b->p->n > ARM_NEAR}, *l = &lower;

	a64_init(&l->w, buf, cap, b->code_off);
	b->exits = 0;
	arm_start(l);
	for (u32 f = 0; f < l->p->nfuncs; f++) {
		l->fn = &l->p->func[f];
		l->fn->entry = l->w.len;
		if (l->fn->reached)
			arm_prologue(l);
		for (l->i = l->fn->first; l->i < l->fn->end; l->i++) {
			b->addr[l->i] = l->w.len;
			arm_insn(l, &l->p->insns[l->i]);
		}
	}
	b->addr[l->p->n] = b->len = l->w.len;
	if (!b->error)
		b->error = l->w.error;
}

const struct jit_backend jit_aarch64 = {
	.pass = aarch64_pass,
	.caller_saved = ARM_CALLER_SAVED,
	.reach_lo = -(1 << 20) + 16,
	.reach_hi = (1 << 20) - 16,
};

void arm_branch(struct arm_lower *l, u32 target)
{
	if (l->b->width[l->i] != JIT_NONE)
		a64_b(&l->w, (u64)l->b->code_off + l->b->addr[target]);
	jit_build_branch(l->b, l->i, l->w.len, 0);
}

/* Long: the opposite condition jumps over a jump. */
void arm_branch_cc(struct arm_lower *l, enum a64_cc cc, u32 target)
{
	u64 to = (u64)l->b->code_off + l->b->addr[target];

	switch (l->b->width[l->i]) {
	case JIT_SHORT: a64_bcc(&l->w, cc, to); break;
	case JIT_LONG:
		a64_bcc(&l->w, cc ^ 1, a64_here(&l->w) + 8);
		a64_b(&l->w, to);
		break;
	}
	jit_build_branch(l->b, l->i, l->w.len, 4);
}

static void compare_zero(struct arm_lower *l, bool zero, bool w64, enum a64_reg r, u64 to)
{
	if (zero)
		a64_cbz(&l->w, w64, r, to);
	else
		a64_cbnz(&l->w, w64, r, to);
}

void arm_branch_zero(struct arm_lower *l, bool zero, bool w64, enum a64_reg r, u32 target)
{
	u64 to = (u64)l->b->code_off + l->b->addr[target];

	switch (l->b->width[l->i]) {
	case JIT_SHORT: compare_zero(l, zero, w64, r, to); break;
	case JIT_LONG:
		compare_zero(l, !zero, w64, r, a64_here(&l->w) + 8);
		a64_b(&l->w, to);
		break;
	}
	jit_build_branch(l->b, l->i, l->w.len, 4);
}

u32 arm_forward(struct arm_lower *l, enum a64_cc cc)
{
	a64_bcc(&l->w, cc, a64_here(&l->w));
	return l->w.len - 4;
}
