/* SPDX-License-Identifier: MIT */
#include "jit/x86_64/lower.h"

#include <errno.h>

void lower_mem(struct lower *l, const struct bpf_insn *insn)
{
	enum x86_reg dst = lower_reg(l, insn->dst_reg), src = lower_reg(l, insn->src_reg);
	u32 size = jit_size(insn);

	switch (BPF_CLASS(insn->code)) {
	case BPF_LDX:
		lower_touch(l, dst);
		if (BPF_MODE(insn->code) == BPF_MEMSX)
			x86_load_sx(&l->w, size, dst, src, insn->off);
		else
			x86_load(&l->w, size, dst, src, insn->off);
		break;
	case BPF_ST: x86_store_imm(&l->w, size, dst, insn->off, insn->imm); break;
	case BPF_STX: x86_store(&l->w, size, dst, insn->off, src); break;
	default: l->b->error = -EINVAL;
	}
}

static enum x86_alu alu_of(u32 op)
{
	switch (op & 0xf0) {
	case BPF_ADD: return X86_ADD;
	case BPF_SUB: return X86_SUB;
	case BPF_OR: return X86_OR;
	case BPF_AND: return X86_AND;
	default: return X86_XOR;
	}
}

/*
 * Fetch with an operation the machine has no fetching form of: a compare-and-exchange loop.
 *     rax = [mem]; do { r10 = rax op src } while (!cmpxchg([mem], r10)); src = rax
 * rax (R0) is parked in r9 when it is an operand or still needed.
 */
static void lower_fetch_loop(struct lower *l, const struct bpf_insn *insn)
{
	enum x86_reg base = lower_reg(l, insn->dst_reg), src = lower_reg(l, insn->src_reg);
	bool w64 = jit_size(insn) == 8, restore = insn->src_reg != 0 && lower_live(l, 0);
	enum x86_reg addr = base == X86_RAX ? X86_R9 : base, value = src == X86_RAX ? X86_R9 : src;
	u32 size = jit_size(insn);
	u64 again;

	lower_touch(l, X86_RAX);
	lower_touch(l, X86_R10);
	if (restore || base == X86_RAX || src == X86_RAX)
		x86_mov(&l->w, true, lower_touch(l, X86_R9), X86_RAX);
	x86_load(&l->w, size, X86_RAX, addr, insn->off);
	again = x86_here(&l->w);
	x86_mov(&l->w, w64, X86_R10, X86_RAX);
	x86_alu(&l->w, alu_of((u32)insn->imm), w64, X86_R10, value);
	x86_cmpxchg(&l->w, size, addr, insn->off, X86_R10);
	x86_jcc8(&l->w, X86_CC_NE, again);
	if (src != X86_RAX) {
		x86_mov(&l->w, w64, src, X86_RAX);
		lower_def(l, insn->src_reg);
	} else if (!w64) {
		x86_mov(&l->w, false, X86_RAX, X86_RAX);
	}
	if (restore)
		x86_mov(&l->w, true, X86_RAX, X86_R9);
}

/* x86 keeps loads and stores in order with respect to each other as acquire and release want it:
 * plain moves. */
void lower_atomic(struct lower *l, const struct bpf_insn *insn)
{
	enum x86_reg dst = lower_reg(l, insn->dst_reg), src = lower_reg(l, insn->src_reg);
	u32 size = jit_size(insn);

	switch (insn->imm) {
	case JIT_ATOMIC_LOAD_ACQ:
		x86_load(&l->w, size, lower_touch(l, dst), src, insn->off);
		return;
	case JIT_ATOMIC_STORE_REL: x86_store(&l->w, size, dst, insn->off, src); return;
	case BPF_ADD | BPF_FETCH:
		x86_xadd(&l->w, size, dst, insn->off, lower_touch(l, src));
		return;
	case BPF_XCHG: x86_xchg(&l->w, size, dst, insn->off, lower_touch(l, src)); return;
	case BPF_CMPXCHG:
		lower_touch(l, X86_RAX);
		x86_cmpxchg(&l->w, size, dst, insn->off, src);
		if (size == 4) /* the machine leaves rax alone when the comparison succeeds */
			x86_mov(&l->w, false, X86_RAX, X86_RAX);
		return;
	}
	if (insn->imm & BPF_FETCH)
		lower_fetch_loop(l, insn);
	else
		x86_alu_mem(&l->w, alu_of((u32)insn->imm), size, true, dst, insn->off, src);
}

void lower_mem_imm(struct lower *l, u32 i, s32 imm)
{
	const struct bpf_insn *insn = &l->p->insns[i];
	enum x86_reg base = lower_reg(l, insn->dst_reg);

	if (BPF_MODE(insn->code) == BPF_ATOMIC)
		x86_alu_mem_imm(&l->w, alu_of((u32)insn->imm), jit_size(insn), true, base,
				insn->off, imm);
	else
		x86_store_imm(&l->w, jit_size(insn), base, insn->off, imm);
}

static bool is_locked(const struct lower *l, u32 i)
{
	u8 mem = l->p->in->facts->insn[i].mem;

	return mem == VMEM_PERCPU_MAP || mem == VMEM_MIXED;
}

/* The register gets the old value by xadd and does the addition again: exact, and the same number
 * is in memory. */
static void lower_rmw_value(struct lower *l, const struct bpf_insn *load,
			    const struct bpf_insn *alu)
{
	enum x86_reg r = lower_def(l, load->dst_reg), base = lower_reg(l, load->src_reg);
	u32 size = jit_size(load);

	if (BPF_SRC(alu->code) == BPF_X)
		x86_mov(&l->w, true, r, lower_reg(l, alu->src_reg));
	else
		x86_mov_imm(&l->w, r, (u64)(s64)alu->imm);
	x86_xadd(&l->w, size, base, load->off, r);
	if (size < 4)
		x86_movzx(&l->w, size, r, r);
	lower_alu(l, alu);
}

void lower_rmw(struct lower *l)
{
	const struct jit_note *note = &l->p->note[l->i];
	const struct bpf_insn *load = &l->p->insns[l->i], *alu = &l->p->insns[note->mid];
	bool lock = is_locked(l, l->i) || is_locked(l, note->last);
	enum x86_reg base = lower_reg(l, load->src_reg);
	enum x86_alu op = alu_of(BPF_OP(alu->code));
	u32 size = jit_size(load);
	struct jit_live out;

	jit_live_out(l->p, note->last, &out);
	if (out.regs >> alu->dst_reg & 1)
		lower_rmw_value(l, load, alu);
	else if (BPF_SRC(alu->code) == BPF_K)
		x86_alu_mem_imm(&l->w, op, size, lock, base, load->off, alu->imm);
	else if (alu->dst_reg == load->dst_reg)
		x86_alu_mem(&l->w, op, size, lock, base, load->off, lower_reg(l, alu->src_reg));
	else
		x86_alu_mem(&l->w, op, size, lock, base, load->off, lower_reg(l, alu->dst_reg));
}
