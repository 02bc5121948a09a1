/* SPDX-License-Identifier: MIT */
/* Branches, calls, and the helpers that need no call. */
#include "jit/x86_64/lower.h"

#include <errno.h>

#include "abi/payload.h"
#include "base/bits.h"

static u32 cc_of(u8 op)
{
	switch (op) {
	case BPF_JEQ: return X86_CC_E;
	case BPF_JNE:
	case BPF_JSET: return X86_CC_NE;
	case BPF_JGT: return X86_CC_A;
	case BPF_JGE: return X86_CC_AE;
	case BPF_JLT: return X86_CC_B;
	case BPF_JLE: return X86_CC_BE;
	case BPF_JSGT: return X86_CC_G;
	case BPF_JSGE: return X86_CC_GE;
	case BPF_JSLT: return X86_CC_L;
	default: return X86_CC_LE;
	}
}

/* The counter stays 0: every later one jumps, too. */
static void lower_may_goto(struct lower *l, const struct bpf_insn *insn)
{
	enum x86_reg fp = lower_reg(l, JIT_FP);
	s32 at = -(s32)l->fn->depth;

	x86_load(&l->w, 8, lower_touch(l, X86_R11), fp, at);
	x86_alu_imm(&l->w, X86_SUB, true, X86_R11, 1);
	lower_branch(l, X86_CC_B, jit_target(insn, l->i));
	x86_store(&l->w, 8, fp, at, X86_R11);
}

/* Has what is executed right before this instruction left the zero flag of the same register? */
static bool has_zero_flag(const struct lower *l, const struct bpf_insn *insn)
{
	const struct bpf_insn *alu;
	u32 k = l->i;
	u8 class;

	do {
		if (k == l->fn->first || l->p->note[k].leader)
			return false;
		k--;
	} while (l->p->note[k].action == JIT_SKIP);
	alu = &l->p->insns[k];
	class = BPF_CLASS(alu->code);
	if (l->p->note[k].action != JIT_PLAIN || alu->dst_reg != insn->dst_reg ||
	    (class != BPF_ALU && (class != BPF_ALU64 || BPF_CLASS(insn->code) != BPF_JMP)))
		return false;
	switch (BPF_OP(alu->code)) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR: return true;
	case BPF_LSH: /* a shift by nothing leaves the flags alone */
	case BPF_RSH: return BPF_SRC(alu->code) == BPF_K && alu->imm & (class == BPF_ALU64 ? 63 : 31);
	default: return false;
	}
}

void lower_jump(struct lower *l, const struct bpf_insn *insn)
{
	bool unless = l->p->note[l->i].action == JIT_UNLESS;
	u32 at = unless ? l->p->note[l->i].last : l->i;
	bool w64 = BPF_CLASS(insn->code) == BPF_JMP, reg = BPF_SRC(insn->code) == BPF_X;
	enum x86_reg dst = lower_reg(l, insn->dst_reg), src = lower_reg(l, insn->src_reg);
	u8 op = BPF_OP(insn->code);

	if (op == BPF_JA) {
		lower_branch(l, LOWER_ALWAYS, jit_target(insn, l->i));
		return;
	}
	if (insn->code == JIT_MAY_GOTO) {
		lower_may_goto(l, insn);
		return;
	}
	if (op == BPF_JSET && reg)
		x86_test(&l->w, w64, dst, src);
	else if (op == BPF_JSET)
		x86_test_imm(&l->w, w64 && insn->imm < 0, dst, insn->imm);
	else if (reg)
		x86_alu(&l->w, X86_CMP, w64, dst, src);
	else if (insn->imm)
		x86_alu_imm(&l->w, X86_CMP, w64, dst, insn->imm);
	else if ((op != BPF_JEQ && op != BPF_JNE) || !has_zero_flag(l, insn))
		x86_test(&l->w, w64, dst, dst);
	lower_branch(l, cc_of(op) ^ unless, jit_target(&l->p->insns[at], at));
}

void lower_ld_imm64(struct lower *l, const struct bpf_insn *insn)
{
	enum x86_reg dst = lower_def(l, insn->dst_reg);
	s32 off = insn[1].imm;

	switch (insn->src_reg) {
	case BPF_PSEUDO_MAP_FD:
		x86_load_rip(&l->w, dst, lower_got(l, JIT_GOT_MAP_VIEW, (u32)insn->imm));
		break;
	case BPF_PSEUDO_FUNC:
		x86_lea_rip(&l->w, dst, (u64)l->b->code_off + jit_func_of(l->p, jit_target(insn, l->i))->entry);
		break;
	case BPF_PSEUDO_MAP_VALUE:
		x86_load_rip(&l->w, dst, lower_got(l, JIT_GOT_MAP_DATA, (u32)insn->imm));
		if (off)
			x86_alu_imm(&l->w, X86_ADD, true, dst, off);
		break;
	default: x86_mov_imm(&l->w, dst, (u32)insn->imm | (u64)(u32)insn[1].imm << 32);
	}
}

static void scale(struct lower *l, enum x86_reg r, u64 by)
{
	if (by == 1)
		return;
	if (bits_is_pow2(by))
		x86_shift_imm(&l->w, X86_SHL, true, r, (u8)__builtin_ctzll(by));
	else
		x86_imul_imm(&l->w, true, r, r, (s32)by);
}

/*
 * r = CPU number, below ncpus whatever RDPID says. The number is as good as in the kernel only for
 * a moment: the thread may be migrated at once. What that means for per-CPU values is explained in
 * jit/fuse.c.
 */
static void emit_cpu(struct lower *l, enum x86_reg r, u32 ncpus)
{
	u32 ok;

	x86_rdpid(&l->w, lower_touch(l, r));
	if (bits_is_pow2(ncpus)) {
		x86_alu_imm(&l->w, X86_AND, false, r, (s32)bits_min(ncpus - 1, 0xfffu));
		return;
	}
	x86_alu_imm(&l->w, X86_AND, false, r, 0xfff);
	x86_alu_imm(&l->w, X86_CMP, false, r, (s32)ncpus);
	ok = x86_jcc8_fwd(&l->w, X86_CC_B);
	x86_alu(&l->w, X86_XOR, false, r, r);
	x86_patch8_here(&l->w, ok);
}

/* rax = address of the element whose index is in rax (or constant), in bounds. */
static void emit_element(struct lower *l, const struct nt_map_view *m, u32 index, bool constant,
			 u64 key)
{
	bool percpu = m->type == BPF_MAP_TYPE_PERCPU_ARRAY;
	u64 data = lower_got(l, JIT_GOT_MAP_DATA, index);

	if (percpu && constant) {
		emit_cpu(l, X86_RAX, m->ncpus);
		scale(l, X86_RAX, m->cpu_stride);
		x86_alu_rip(&l->w, X86_ADD, X86_RAX, data);
	} else if (percpu) {
		scale(l, X86_RAX, m->value_stride);
		emit_cpu(l, X86_R11, m->ncpus);
		scale(l, X86_R11, m->cpu_stride);
		x86_alu(&l->w, X86_ADD, true, X86_RAX, X86_R11);
		x86_alu_rip(&l->w, X86_ADD, X86_RAX, data);
	} else if (constant) {
		x86_load_rip(&l->w, X86_RAX, data);
	} else {
		scale(l, X86_RAX, m->value_stride);
		x86_alu_rip(&l->w, X86_ADD, X86_RAX, data);
	}
	if (constant && key)
		x86_alu_imm(&l->w, X86_ADD, true, X86_RAX, (s32)(key * m->value_stride));
}

/*
 * cmp key, max; then, without a NULL check in the program:
 *         jae miss; rax = element; jmp done; miss: xor eax, eax; done:
 * with it, fused (the branch goes where the check wanted to go; R0 = 0 only if somebody looks):
 *     if r0 == 0 goto t:   jae t; rax = element             or  jb hit; xor eax, eax; jmp t; hit: rax = element
 *     if r0 != 0 goto t:   jae miss; rax = element; jmp t; miss: xor eax, eax
 */
static void emit_bounds(struct lower *l, const struct nt_map_view *m, u32 index)
{
	u32 check = l->p->note[l->i].last;
	const struct bpf_insn *jump = &l->p->insns[check];
	u32 target = check ? jit_target(jump, check) : 0, miss, done;

	x86_alu_imm(&l->w, X86_CMP, false, X86_RAX, (s32)m->max_entries);
	if (check && BPF_OP(jump->code) == BPF_JEQ) {
		if (l->p->live[target].regs & 1) {
			u32 hit = x86_jcc8_fwd(&l->w, X86_CC_B);

			x86_alu(&l->w, X86_XOR, false, X86_RAX, X86_RAX);
			lower_branch(l, LOWER_ALWAYS, target);
			x86_patch8_here(&l->w, hit);
		} else {
			lower_branch(l, X86_CC_AE, target);
		}
		emit_element(l, m, index, false, 0);
		return;
	}
	miss = x86_jcc8_fwd(&l->w, X86_CC_AE);
	emit_element(l, m, index, false, 0);
	if (check) {
		lower_branch(l, LOWER_ALWAYS, target);
		x86_patch8_here(&l->w, miss);
		if (l->p->live[check + 1].regs & 1)
			x86_alu(&l->w, X86_XOR, false, X86_RAX, X86_RAX);
		return;
	}
	done = x86_jmp8_fwd(&l->w);
	x86_patch8_here(&l->w, miss);
	x86_alu(&l->w, X86_XOR, false, X86_RAX, X86_RAX);
	x86_patch8_here(&l->w, done);
}

static void lower_lookup(struct lower *l)
{
	const struct jit_note *note = &l->p->note[l->i];
	const struct verifier_insn *fact = &l->p->in->facts->insn[l->i];
	const struct nt_map_view *m = jit_lookup_map(l->p, l->i);

	lower_touch(l, X86_RAX);
	switch (note->key) {
	case JIT_KEY_CONST: emit_element(l, m, fact->map_index, true, fact->key); return;
	case JIT_KEY_PTR: x86_load(&l->w, 4, X86_RAX, lower_reg(l, 2), 0); break;
	case JIT_KEY_STACK: x86_load(&l->w, 4, X86_RAX, lower_reg(l, JIT_FP), note->key_off); break;
	}
	emit_bounds(l, m, fact->map_index);
}

/* By a register: a call through memory takes a cycle more (measured on Zen 5), and R0 is free. */
static void lower_helper(struct lower *l, u32 id)
{
	l->b->calls_helper = true;
	l->fn->written |= LOWER_CALLER_SAVED;
	x86_load_rip(&l->w, X86_RAX, lower_got(l, JIT_GOT_HELPER, id));
	x86_call_reg(&l->w, X86_RAX);
}

/* esi = offset; rdi = R6; edx = size; call; test rax, rax; jns ok; xor eax, eax; leave and ret; ok: */
void lower_packet_load(struct lower *l, const struct bpf_insn *insn)
{
	u32 ok;

	if (BPF_MODE(insn->code) == BPF_ABS)
		x86_mov_imm(&l->w, lower_touch(l, X86_RSI), (u32)insn->imm);
	else
		x86_mov(&l->w, false, lower_touch(l, X86_RSI), lower_reg(l, insn->src_reg));
	if (BPF_MODE(insn->code) == BPF_IND && insn->imm)
		x86_alu_imm(&l->w, X86_ADD, false, X86_RSI, insn->imm);
	x86_mov(&l->w, true, lower_touch(l, X86_RDI), lower_reg(l, 6));
	x86_mov_imm(&l->w, lower_touch(l, X86_RDX), jit_size(insn));
	lower_helper(l, NT_HELPER_PACKET_LOAD);
	x86_test(&l->w, true, X86_RAX, X86_RAX);
	ok = x86_jcc8_fwd(&l->w, X86_CC_NS);
	x86_alu(&l->w, X86_XOR, false, X86_RAX, X86_RAX);
	lower_epilogue(l);
	x86_patch8_here(&l->w, ok);
}

/* A look-up in a map that is known to be a hash goes to the function for its size of keys. */
static u32 helper_for(const struct lower *l, const struct bpf_insn *insn)
{
	const struct verifier_insn *fact = &l->p->in->facts->insn[l->i];
	const struct nt_map_view *m;

	if (insn->imm != JIT_FN_LOOKUP || !fact->map_known || fact->map_index >= l->p->in->nmaps)
		return (u32)insn->imm;
	m = &l->p->in->maps[fact->map_index];
	if (m->type != BPF_MAP_TYPE_HASH)
		return (u32)insn->imm;
	return NT_HELPER_HASH_LOOKUP + (m->key_size == 4 ? 0 : m->key_size == 8 ? 1 : 2);
}

/* The helper gives the address of the other program, or 0: then this one goes on. */
static void lower_tail_call(struct lower *l)
{
	u32 stay;

	lower_helper(l, JIT_FN_TAIL_CALL);
	x86_test(&l->w, true, X86_RAX, X86_RAX);
	stay = x86_jcc_fwd(&l->w, X86_CC_E);
	x86_mov(&l->w, true, X86_RDI, X86_R12);
	lower_leave(l);
	x86_jmp_reg(&l->w, X86_RAX);
	x86_patch_here(&l->w, stay);
}

void lower_call(struct lower *l, const struct bpf_insn *insn)
{
	switch (l->p->note[l->i].action) {
	case JIT_LOOKUP: lower_lookup(l); return;
	case JIT_IS_RETURN: x86_load(&l->w, 8, lower_def(l, 0), X86_R12, NT_CTX_IS_RETURN); return;
	case JIT_SESSION: x86_load(&l->w, 8, lower_def(l, 0), X86_R12, NT_CTX_SESSION); return;
	case JIT_ARG: x86_mov(&l->w, true, lower_def(l, 0), lower_reg(l, 1)); return;
	case JIT_NULL: x86_mov_imm(&l->w, lower_def(l, 0), 0); return;
	case JIT_SMP_ID: emit_cpu(l, lower_def(l, 0), 0x1000); return;
	case JIT_COOKIE:
		l->b->uses_cookie = true;
		x86_load(&l->w, 8, lower_def(l, 0), lower_reg(l, 1), NT_CTX_COOKIE);
		return;
	case JIT_FUNC_IP:
		l->b->uses_func_ip = true;
		x86_load(&l->w, 8, lower_def(l, 0), lower_reg(l, 1), NT_CTX_FUNC_IP);
		return;
	}
	if (jit_is_helper(insn) && insn->imm == JIT_FN_TAIL_CALL)
		lower_tail_call(l);
	else if (jit_is_helper(insn))
		lower_helper(l, helper_for(l, insn));
	else if (jit_is_kfunc(insn))
		lower_helper(l, NT_HELPER_KFUNC + (u32)insn->imm);
	else
		x86_call(&l->w,
			 (u64)l->b->code_off + jit_func_of(l->p, jit_target(insn, l->i))->entry);
}
