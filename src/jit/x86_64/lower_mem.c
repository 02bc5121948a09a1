/* SPDX-License-Identifier: MIT */
#include "jit/x86_64/lower.h"

#include <errno.h>

/*
 * An access to an arena: r11 = where it is in this process. Addresses are the low halves of what the loader has, so:
 *
 *     r11d = reg;  r11 += off - low half of the arena's address there;  if (r11 > size - access) goto outside;  r11 += arena
 *
 * Returns a mark for x86_patch8_here(): outside.
 */
static u32 arena_address(struct lower *l, enum x86_reg reg, s32 off, u32 size)
{
	u32 map = l->p->in->facts->insn[l->i].map_index;
	const struct nt_map_view *v = &l->p->in->maps[map];
	s64 distance = (s64)off - (u32)v->extra;
	u32 outside;

	lower_touch(l, X86_R10);
	x86_mov(&l->w, false, lower_touch(l, X86_R11), reg);
	if (distance == (s32)distance) {
		x86_alu_imm(&l->w, X86_ADD, true, X86_R11, (s32)distance);
	} else {
		x86_mov_imm(&l->w, X86_R10, (u64)distance);
		x86_alu(&l->w, X86_ADD, true, X86_R11, X86_R10);
	}
	x86_mov_imm(&l->w, X86_R10, v->ctl_off - size);
	x86_alu(&l->w, X86_CMP, true, X86_R11, X86_R10);
	outside = x86_jcc8_fwd(&l->w, X86_CC_A);
	x86_alu_rip(&l->w, X86_ADD, X86_R11, lower_got(l, JIT_GOT_MAP_DATA, map));
	return outside;
}

static bool is_arena(const struct lower *l)
{
	return l->p->in->facts->insn[l->i].mem == VMEM_ARENA;
}

/* Loads, from outside zero; acquire needs no more than order. */
static void arena_load(struct lower *l, const struct bpf_insn *insn)
{
	u32 size = jit_size(insn), outside = arena_address(l, lower_reg(l, insn->src_reg), insn->off, size), done;
	enum x86_reg dst = lower_def(l, insn->dst_reg);

	if (BPF_CLASS(insn->code) == BPF_LDX && BPF_MODE(insn->code) == BPF_MEMSX)
		x86_load_sx(&l->w, size, dst, X86_R11, 0);
	else
		x86_load(&l->w, size, dst, X86_R11, 0);
	done = x86_jmp8_fwd(&l->w);
	x86_patch8_here(&l->w, outside);
	x86_alu(&l->w, X86_XOR, false, dst, dst);
	x86_patch8_here(&l->w, done);
}

/* An access that may be to an arena. loads: what it does; at: lowers it, dst being what is loaded, or the address of what is
 * stored. */
static void lower_access(struct lower *l, const struct bpf_insn *insn, bool loads,
			 void (*at)(struct lower *l, const struct bpf_insn *insn, enum x86_reg dst))
{
	struct bpf_insn inside = *insn;
	u32 outside;

	if (!is_arena(l)) {
		at(l, insn, lower_reg(l, insn->dst_reg));
	} else if (loads) {
		arena_load(l, insn);
	} else {
		outside = arena_address(l, lower_reg(l, insn->dst_reg), insn->off, jit_size(insn));
		inside.off = 0;
		at(l, &inside, X86_R11);
		x86_patch8_here(&l->w, outside);
	}
}

static void lower_memory(struct lower *l, const struct bpf_insn *insn, enum x86_reg dst)
{
	enum x86_reg src = lower_reg(l, insn->src_reg);
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

void lower_mem(struct lower *l, const struct bpf_insn *insn)
{
	lower_access(l, insn, BPF_CLASS(insn->code) == BPF_LDX, lower_memory);
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
static void lower_fetch_loop(struct lower *l, const struct bpf_insn *insn, enum x86_reg base)
{
	enum x86_reg src = lower_reg(l, insn->src_reg);
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
static void lower_atomic_at(struct lower *l, const struct bpf_insn *insn, enum x86_reg dst)
{
	enum x86_reg src = lower_reg(l, insn->src_reg);
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
		lower_fetch_loop(l, insn, dst);
	else
		x86_alu_mem(&l->w, alu_of((u32)insn->imm), size, true, dst, insn->off, src);
}

void lower_atomic(struct lower *l, const struct bpf_insn *insn)
{
	lower_access(l, insn, insn->imm == JIT_ATOMIC_LOAD_ACQ, lower_atomic_at);
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
