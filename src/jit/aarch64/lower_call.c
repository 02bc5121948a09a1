/* SPDX-License-Identifier: MIT */
/* Branches, calls, and the helpers that need no call. */
#include "jit/aarch64/lower.h"

#include <errno.h>

#include "abi/payload.h"
#include "base/bits.h"

static enum a64_cc cc_of(u8 op)
{
	switch (op) {
	case BPF_JEQ: return A64_EQ;
	case BPF_JNE:
	case BPF_JSET: return A64_NE;
	case BPF_JGT: return A64_HI;
	case BPF_JGE: return A64_CS;
	case BPF_JLT: return A64_CC;
	case BPF_JLE: return A64_LS;
	case BPF_JSGT: return A64_GT;
	case BPF_JSGE: return A64_GE;
	case BPF_JSLT: return A64_LT;
	default: return A64_LE;
	}
}

/* The counter stays 0: every later one jumps, too. */
static void lower_may_goto(struct arm_lower *l, const struct bpf_insn *insn)
{
	struct arm_mem m = arm_operand(l, JIT_FP, -(s32)l->fn->depth, 8);

	arm_load(l, 8, arm_touch(l, ARM_T1), &m);
	a64_arith_imm(&l->w, A64_SUBS, true, ARM_T1, ARM_T1, 1);
	arm_branch_cc(l, A64_CC, jit_target(insn, l->i));
	arm_store(l, 8, ARM_T1, &m);
}

/* Flags of a - b. */
static void compare_imm(struct arm_lower *l, bool w64, enum a64_reg a, s32 imm)
{
	u64 plus = (u64)(s64)imm, minus = 0 - plus;

	if (a64_arith_fits(plus))
		a64_arith_imm(&l->w, A64_SUBS, w64, A64_ZR, a, plus);
	else if (a64_arith_fits(minus))
		a64_arith_imm(&l->w, A64_ADDS, w64, A64_ZR, a, minus);
	else
		a64_arith(&l->w, A64_SUBS, w64, A64_ZR, a, arm_number(l, ARM_T2, w64 ? plus : (u32)imm));
}

static void test_imm(struct arm_lower *l, bool w64, enum a64_reg a, s32 imm)
{
	u64 v = w64 ? (u64)(s64)imm : (u32)imm;

	if (a64_logic_fits(w64, v))
		a64_logic_imm(&l->w, A64_ANDS, w64, A64_ZR, a, v);
	else
		a64_logic(&l->w, A64_ANDS, w64, A64_ZR, a, arm_number(l, ARM_T2, v));
}

void arm_jump(struct arm_lower *l, const struct bpf_insn *insn)
{
	bool w64 = BPF_CLASS(insn->code) == BPF_JMP, reg = BPF_SRC(insn->code) == BPF_X;
	bool unless = l->p->note[l->i].action == JIT_UNLESS;
	u32 at = unless ? l->p->note[l->i].last : l->i, target = jit_target(&l->p->insns[at], at);
	u8 op = BPF_OP(insn->code);
	enum a64_reg dst, src;

	if (op == BPF_JA) {
		arm_branch(l, target);
		return;
	}
	if (insn->code == JIT_MAY_GOTO) {
		lower_may_goto(l, insn);
		return;
	}
	dst = arm_value(l, insn->dst_reg, ARM_T1);
	src = reg ? arm_value(l, insn->src_reg, ARM_T2) : A64_ZR;
	if (!reg && !insn->imm && (op == BPF_JEQ || op == BPF_JNE)) {
		arm_branch_zero(l, (op == BPF_JEQ) != unless, w64, dst, target);
		return;
	}
	if (op == BPF_JSET && reg)
		a64_logic(&l->w, A64_ANDS, w64, A64_ZR, dst, src);
	else if (op == BPF_JSET)
		test_imm(l, w64, dst, insn->imm);
	else if (reg)
		a64_arith(&l->w, A64_SUBS, w64, A64_ZR, dst, src);
	else
		compare_imm(l, w64, dst, insn->imm);
	arm_branch_cc(l, cc_of(op) ^ unless, target);
}

static void load_function(struct arm_lower *l, enum a64_reg dst, u64 at)
{
	u64 here = a64_here(&l->w);

	if (!l->far) {
		a64_adr(&l->w, dst, at);
		return;
	}
	a64_adr(&l->w, dst, here);
	a64_mov_s32(&l->w, arm_touch(l, ARM_T3), (s32)(at - here));
	a64_add_sxtw(&l->w, dst, dst, ARM_T3);
}

static u64 function_at(const struct arm_lower *l, const struct bpf_insn *insn)
{
	return (u64)l->b->code_off + jit_func_of(l->p, jit_target(insn, l->i))->entry;
}

void arm_ld_imm64(struct arm_lower *l, const struct bpf_insn *insn)
{
	enum a64_reg dst = arm_def(l, insn->dst_reg);

	switch (insn->src_reg) {
	case BPF_PSEUDO_MAP_FD: arm_load_got(l, dst, JIT_GOT_MAP_VIEW, (u32)insn->imm); break;
	case BPF_PSEUDO_FUNC: load_function(l, dst, function_at(l, insn)); break;
	case BPF_PSEUDO_MAP_VALUE:
		arm_load_got(l, dst, JIT_GOT_MAP_DATA, (u32)insn->imm);
		if (insn[1].imm)
			arm_add(l, dst, dst, insn[1].imm);
		break;
	default: a64_mov_imm(&l->w, dst, (u32)insn->imm | (u64)(u32)insn[1].imm << 32);
	}
}

/* R0 = address of the element whose index is in R0, in bounds. */
static void emit_element(struct arm_lower *l, const struct nt_map_view *m, u32 index)
{
	arm_load_got(l, arm_touch(l, ARM_T2), JIT_GOT_MAP_DATA, index);
	if (bits_is_pow2(m->value_stride)) {
		a64_shift_imm(&l->w, A64_LSL, true, ARM_R0, ARM_R0, (u32)__builtin_ctz(m->value_stride));
		a64_arith(&l->w, A64_ADD, true, ARM_R0, ARM_R0, ARM_T2);
	} else {
		a64_madd(&l->w, true, ARM_R0, ARM_R0, arm_number(l, ARM_T1, m->value_stride), ARM_T2);
	}
}

/*
 * cmp key, max; then, without a NULL check in the program:
 *         b.hs miss; r0 = element; b done; miss: r0 = 0; done:
 * with it, fused (the branch goes where the check wanted to go; R0 = 0 only if somebody looks):
 *     if r0 == 0 goto t:   b.hs t; r0 = element             or  b.lo hit; r0 = 0; b t; hit: r0 = element
 *     if r0 != 0 goto t:   b.hs miss; r0 = element; b t; miss: r0 = 0
 */
static void emit_bounds(struct arm_lower *l, const struct nt_map_view *m, u32 index)
{
	u32 check = l->p->note[l->i].last;
	const struct bpf_insn *jump = &l->p->insns[check];
	u32 target = check ? jit_target(jump, check) : 0, miss, done;

	compare_imm(l, false, ARM_R0, (s32)m->max_entries);
	if (check && BPF_OP(jump->code) == BPF_JEQ) {
		if (l->p->live[target].regs & 1) {
			u32 hit = arm_forward(l, A64_CC);

			a64_mov_imm(&l->w, ARM_R0, 0);
			arm_branch(l, target);
			a64_patch_here(&l->w, hit);
		} else {
			arm_branch_cc(l, A64_CS, target);
		}
		emit_element(l, m, index);
		return;
	}
	miss = arm_forward(l, A64_CS);
	emit_element(l, m, index);
	if (check) {
		arm_branch(l, target);
		a64_patch_here(&l->w, miss);
		if (l->p->live[check + 1].regs & 1)
			a64_mov_imm(&l->w, ARM_R0, 0);
		return;
	}
	done = l->w.len;
	a64_b(&l->w, a64_here(&l->w));
	a64_patch_here(&l->w, miss);
	a64_mov_imm(&l->w, ARM_R0, 0);
	a64_patch_here(&l->w, done);
}

static void lower_lookup(struct arm_lower *l)
{
	const struct jit_note *note = &l->p->note[l->i];
	const struct verifier_insn *fact = &l->p->in->facts->insn[l->i];
	const struct nt_map_view *m = jit_lookup_map(l->p, l->i);
	struct arm_mem key;

	arm_touch(l, ARM_R0);
	switch (note->key) {
	case JIT_KEY_CONST:
		arm_load_got(l, ARM_R0, JIT_GOT_MAP_DATA, fact->map_index);
		if (fact->key)
			arm_add(l, ARM_R0, ARM_R0, (s64)fact->key * m->value_stride);
		return;
	case JIT_KEY_PTR: a64_load(&l->w, 4, ARM_R0, arm_reg(2), 0); break;
	case JIT_KEY_STACK:
		key = arm_operand(l, JIT_FP, note->key_off, 4);
		arm_load(l, 4, ARM_R0, &key);
		break;
	}
	emit_bounds(l, m, fact->map_index);
}

static void take_result(struct arm_lower *l)
{
	if (jit_reg_live_out(l->p, l->i, 0))
		a64_mov(&l->w, true, arm_def(l, 0), A64_X0);
}

static void lower_helper(struct arm_lower *l, u32 id)
{
	l->b->calls_helper = true;
	l->fn->written |= ARM_CALLER_SAVED;
	arm_load_got(l, ARM_T4, JIT_GOT_HELPER, id);
	a64_blr(&l->w, ARM_T4);
}

/* x1 = offset; x0 = R6; x2 = size; call; if negative: R0 = 0, leave and ret */
void arm_packet_load(struct arm_lower *l, const struct bpf_insn *insn)
{
	enum a64_reg off = arm_touch(l, arm_reg(2));
	u32 ok;

	if (BPF_MODE(insn->code) == BPF_ABS)
		a64_mov_imm(&l->w, off, (u32)insn->imm);
	else
		a64_mov(&l->w, true, off, arm_value(l, insn->src_reg, ARM_T1));
	if (BPF_MODE(insn->code) == BPF_IND && insn->imm)
		arm_add(l, off, off, insn->imm);
	a64_mov(&l->w, true, arm_touch(l, arm_reg(1)), arm_reg(6));
	a64_mov_imm(&l->w, arm_touch(l, arm_reg(3)), jit_size(insn));
	lower_helper(l, NT_HELPER_PACKET_LOAD);
	a64_arith_imm(&l->w, A64_SUBS, true, A64_ZR, A64_X0, 0);
	ok = arm_forward(l, A64_PL);
	a64_mov_imm(&l->w, arm_touch(l, ARM_R0), 0);
	arm_epilogue(l);
	a64_patch_here(&l->w, ok);
	take_result(l);
}

/* The helper gives the address of the other program, or 0: then this one goes on. */
static void lower_tail_call(struct arm_lower *l)
{
	u32 stay;

	lower_helper(l, JIT_FN_TAIL_CALL);
	stay = l->w.len;
	a64_cbz(&l->w, true, A64_X0, a64_here(&l->w));
	a64_mov(&l->w, true, ARM_T4, A64_X0);
	a64_mov(&l->w, true, A64_X0, ARM_CTX);
	arm_leave(l);
	a64_br(&l->w, ARM_T4);
	a64_patch_here(&l->w, stay);
	take_result(l);
}

/* R0 = a word below ctx. */
static void load_run(struct arm_lower *l, enum a64_reg ctx, s32 off)
{
	a64_load(&l->w, 8, arm_def(l, 0), ctx, off);
}

static bool lower_inline(struct arm_lower *l)
{
	switch (l->p->note[l->i].action) {
	case JIT_LOOKUP: lower_lookup(l); return true;
	case JIT_IS_RETURN: load_run(l, ARM_CTX, NT_CTX_IS_RETURN); return true;
	case JIT_SESSION: load_run(l, ARM_CTX, NT_CTX_SESSION); return true;
	case JIT_ARG: a64_mov(&l->w, true, arm_def(l, 0), arm_reg(1)); return true;
	case JIT_NULL: a64_mov_imm(&l->w, arm_def(l, 0), 0); return true;
	case JIT_COOKIE:
		l->b->uses_cookie = true;
		load_run(l, arm_reg(1), NT_CTX_COOKIE);
		return true;
	case JIT_FUNC_IP:
		l->b->uses_func_ip = true;
		load_run(l, arm_reg(1), NT_CTX_FUNC_IP);
		return true;
	default: return false;
	}
}

void arm_call(struct arm_lower *l, const struct bpf_insn *insn)
{
	if (lower_inline(l))
		return;
	if (l->p->note[l->i].action != JIT_PLAIN) {
		l->b->error = -EINVAL;
		return;
	}
	if (jit_is_helper(insn) && insn->imm == JIT_FN_TAIL_CALL) {
		lower_tail_call(l);
		return;
	}
	if (jit_is_helper(insn))
		lower_helper(l, (u32)insn->imm);
	else if (jit_is_kfunc(insn))
		lower_helper(l, NT_HELPER_KFUNC + (u32)insn->imm);
	else
		a64_bl(&l->w, function_at(l, insn));
	take_result(l);
}
