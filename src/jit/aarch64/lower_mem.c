/* SPDX-License-Identifier: MIT */
/*
 * Loads, stores, and what changes memory in one go.
 *
 * ARMv8.0 has no instruction that does so: an exclusive load, the operation, an exclusive store that fails if somebody
 * else was faster, again. BPF wants operations that fetch to be full barriers and the others to be relaxed: the
 * release half is in the store, the rest is a barrier behind the loop.
 *
 * Exclusive accesses must be aligned. The verifier sees to that for BPF's atomic instructions. It does not for an
 * ordinary load, addition and store that jit/fuse.c wants locked because the value is per-CPU: there the address is
 * looked at, and a value that lies across is changed as the program says, by three instructions.
 */
#include "jit/aarch64/lower.h"

#include <errno.h>

#include "base/bits.h"

/* Loads and stores, at *at if it is given: an address that is known already. */
static void memory(struct arm_lower *l, const struct bpf_insn *insn, const struct arm_mem *at)
{
	u32 size = jit_size(insn);
	struct arm_mem m;
	enum a64_reg rt;

	switch (BPF_CLASS(insn->code)) {
	case BPF_LDX:
		m = at ? *at : arm_operand(l, insn->src_reg, insn->off, size);
		rt = arm_def(l, insn->dst_reg);
		if (BPF_MODE(insn->code) != BPF_MEMSX)
			arm_load(l, size, rt, &m);
		else if (m.indexed)
			a64_load_sx_reg(&l->w, size, rt, m.reg, ARM_T0);
		else
			a64_load_sx(&l->w, size, rt, m.reg, m.off);
		break;
	case BPF_ST:
		m = at ? *at : arm_operand(l, insn->dst_reg, insn->off, size);
		arm_store(l, size, arm_number(l, ARM_T1, (u64)(s64)insn->imm), &m);
		break;
	case BPF_STX:
		m = at ? *at : arm_operand(l, insn->dst_reg, insn->off, size);
		arm_store(l, size, arm_value(l, insn->src_reg, ARM_T1), &m);
		break;
	default: l->b->error = -EINVAL;
	}
}

static bool is_arena(const struct arm_lower *l)
{
	return l->p->in->facts->insn[l->i].mem == VMEM_ARENA;
}

/* Where an access to an arena may lead besides into it: marks, 0 = none. */
struct outside {
	u32 mark[2];
};

/* ARM_T0 = where it is in this process, as in x86_64/lower_mem.c; what is not aligned as it must be lies outside, too. */
static struct outside arena_address(struct arm_lower *l, u32 bpf_reg, s32 off, u32 size, bool aligned)
{
	u32 map = l->p->in->facts->insn[l->i].map_index;
	const struct nt_map_view *v = &l->p->in->maps[map];
	struct outside ret = {0};

	a64_mov(&l->w, false, arm_touch(l, ARM_T0), arm_reg(bpf_reg));
	arm_add(l, ARM_T0, ARM_T0, (s64)off - (u32)v->extra);
	a64_arith(&l->w, A64_SUBS, true, A64_ZR, ARM_T0, arm_number(l, ARM_T1, v->ctl_off - size));
	ret.mark[0] = arm_forward(l, A64_HI);
	if (aligned && size > 1) {
		a64_logic_imm(&l->w, A64_ANDS, true, A64_ZR, ARM_T0, size - 1);
		ret.mark[1] = arm_forward(l, A64_NE);
	}
	arm_load_got(l, arm_touch(l, ARM_T1), JIT_GOT_MAP_DATA, map);
	a64_arith(&l->w, A64_ADD, true, ARM_T0, ARM_T0, ARM_T1);
	return ret;
}

static void outside_here(struct arm_lower *l, const struct outside *o)
{
	for (u32 i = 0; i < 2; i++)
		if (o->mark[i])
			a64_patch_here(&l->w, o->mark[i]);
}

static void load_zero_outside(struct arm_lower *l, u32 dst_reg, const struct outside *o)
{
	u32 done = l->w.len;

	a64_b(&l->w, a64_here(&l->w));
	outside_here(l, o);
	a64_mov_imm(&l->w, arm_def(l, dst_reg), 0);
	a64_patch_here(&l->w, done);
}

void arm_mem(struct arm_lower *l, const struct bpf_insn *insn)
{
	const struct arm_mem m = {.reg = ARM_T0};
	bool load = BPF_CLASS(insn->code) == BPF_LDX;
	struct outside o;

	if (!is_arena(l)) {
		memory(l, insn, NULL);
		return;
	}
	o = arena_address(l, load ? insn->src_reg : insn->dst_reg, insn->off, jit_size(insn), false);
	memory(l, insn, &m);
	if (load)
		load_zero_outside(l, insn->dst_reg, &o);
	else
		outside_here(l, &o);
}

/* [bpf_reg + off] as one register: its own or ARM_T0. */
static enum a64_reg exact_address(struct arm_lower *l, u32 bpf_reg, s32 off)
{
	if (bpf_reg == JIT_FP)
		arm_add(l, arm_touch(l, ARM_T0), A64_SP, (s64)arm_area(l) + off);
	else if (off)
		arm_add(l, arm_touch(l, ARM_T0), arm_reg(bpf_reg), off);
	else
		return arm_reg(bpf_reg);
	return ARM_T0;
}

/* What is done to a value in memory. */
struct change {
	u32 op; /* BPF_ADD ..., or BPF_XCHG */
	u32 size;
	enum a64_reg value;
	bool constant; /* instead of value: imm, which fits into the instruction */
	s64 imm;
};

static struct change change_by(u32 op, u32 size, enum a64_reg value)
{
	return (struct change){.op = op & 0xf0, .size = size, .value = value};
}

/* The number goes into the instruction if it can, else into ARM_T4. */
static struct change change_by_number(struct arm_lower *l, u32 op, u32 size, s64 imm)
{
	struct change c = {.op = op & 0xf0, .size = size, .imm = imm, .constant = true};

	if (c.op == BPF_SUB) {
		c.op = BPF_ADD;
		c.imm = -imm;
	}
	if (c.op == BPF_ADD ? a64_arith_fits((u64)c.imm) || a64_arith_fits((u64)-c.imm) : a64_logic_fits(size == 8, (u64)imm))
		return c;
	c.constant = false;
	c.value = arm_number(l, ARM_T4, (u64)c.imm);
	return c;
}

/* rd = rn op value */
static void operate(struct arm_lower *l, const struct change *c, enum a64_reg rd, enum a64_reg rn)
{
	enum a64_logic logic = c->op == BPF_OR ? A64_ORR : c->op == BPF_AND ? A64_AND : A64_EOR;
	bool w64 = c->size == 8, sum = c->op == BPF_ADD || c->op == BPF_SUB;
	enum a64_arith arith = c->op == BPF_ADD ? A64_ADD : A64_SUB;

	if (!c->constant && sum)
		a64_arith(&l->w, arith, w64, rd, rn, c->value);
	else if (!c->constant)
		a64_logic(&l->w, logic, w64, rd, rn, c->value);
	else if (sum && a64_arith_fits((u64)c->imm))
		a64_arith_imm(&l->w, A64_ADD, w64, rd, rn, (u64)c->imm);
	else if (sum)
		a64_arith_imm(&l->w, A64_SUB, w64, rd, rn, (u64)-c->imm);
	else
		a64_logic_imm(&l->w, logic, w64, rd, rn, (u64)c->imm);
}

/* ARM_T1 = the old value; memory = ARM_T1 op value, in one go. BPF_XCHG: just value. */
static void exclusive(struct arm_lower *l, const struct change *c, bool release, enum a64_reg addr)
{
	bool exchange = c->op == (BPF_XCHG & 0xf0);
	u64 again = a64_here(&l->w);

	a64_ldxr(&l->w, c->size, false, arm_touch(l, ARM_T1), addr);
	if (!exchange)
		operate(l, c, arm_touch(l, ARM_T2), ARM_T1);
	a64_stxr(&l->w, c->size, release, arm_touch(l, ARM_T3), exchange ? c->value : ARM_T2, addr);
	a64_cbnz(&l->w, false, ARM_T3, again);
}

/* R0 is compared; it becomes what was there, which clears the upper half of a word. */
static void compare_exchange(struct arm_lower *l, u32 size, enum a64_reg addr, enum a64_reg value)
{
	u64 again = a64_here(&l->w);
	u32 differs;

	a64_ldxr(&l->w, size, false, arm_touch(l, ARM_T1), addr);
	a64_arith(&l->w, A64_SUBS, size == 8, A64_ZR, ARM_T1, ARM_R0);
	differs = arm_forward(l, A64_NE);
	a64_stxr(&l->w, size, true, arm_touch(l, ARM_T3), value, addr);
	a64_cbnz(&l->w, false, ARM_T3, again);
	a64_patch_here(&l->w, differs);
	a64_dmb_ish(&l->w);
	a64_mov(&l->w, true, arm_touch(l, ARM_R0), ARM_T1);
}

static void atomic_at(struct arm_lower *l, const struct bpf_insn *insn, enum a64_reg addr)
{
	u32 size = jit_size(insn);
	enum a64_reg value;

	if (insn->imm == JIT_ATOMIC_LOAD_ACQ) {
		a64_ldar(&l->w, size, arm_def(l, insn->dst_reg), addr);
		return;
	}
	value = arm_value(l, insn->src_reg, ARM_T4);
	if (insn->imm == JIT_ATOMIC_STORE_REL) {
		a64_stlr(&l->w, size, value, addr);
	} else if (insn->imm == BPF_CMPXCHG) {
		compare_exchange(l, size, addr, value);
	} else {
		struct change c = change_by((u32)insn->imm, size, value);
		bool fetch = insn->imm & BPF_FETCH;

		exclusive(l, &c, fetch, addr);
		if (!fetch)
			return;
		a64_dmb_ish(&l->w);
		a64_mov(&l->w, true, arm_def(l, insn->src_reg), ARM_T1);
	}
}

void arm_atomic(struct arm_lower *l, const struct bpf_insn *insn)
{
	bool load = insn->imm == JIT_ATOMIC_LOAD_ACQ;
	u32 address = load ? insn->src_reg : insn->dst_reg;
	struct outside o;

	if (!is_arena(l)) {
		atomic_at(l, insn, exact_address(l, address, insn->off));
		return;
	}
	o = arena_address(l, address, insn->off, jit_size(insn), true);
	atomic_at(l, insn, ARM_T0);
	if (load)
		load_zero_outside(l, insn->dst_reg, &o);
	else
		outside_here(l, &o);
}

void arm_mem_imm(struct arm_lower *l, u32 i, s32 imm)
{
	const struct bpf_insn *insn = &l->p->insns[i];
	u32 size = jit_size(insn);

	if (BPF_MODE(insn->code) == BPF_ATOMIC) {
		struct change c = change_by_number(l, (u32)insn->imm, size, imm);

		exclusive(l, &c, false, exact_address(l, insn->dst_reg, insn->off));
	} else {
		struct arm_mem m = arm_operand(l, insn->dst_reg, insn->off, size);

		arm_store(l, size, arm_number(l, ARM_T1, (u64)(s64)imm), &m);
	}
}

static bool is_locked(const struct arm_lower *l, u32 i)
{
	u8 mem = l->p->in->facts->insn[i].mem;

	return mem == VMEM_PERCPU_MAP || mem == VMEM_MIXED;
}

/* ARM_T1 = the old value; memory = ARM_T1 op value. */
static void change_plain(struct arm_lower *l, const struct change *c, const struct arm_mem *m)
{
	arm_load(l, c->size, arm_touch(l, ARM_T1), m);
	operate(l, c, arm_touch(l, ARM_T2), ARM_T1);
	arm_store(l, c->size, ARM_T2, m);
}

static void change_locked(struct arm_lower *l, const struct change *c, enum a64_reg addr)
{
	const struct arm_mem m = {.reg = addr};
	u32 across, done;

	if (c->size == 1) {
		exclusive(l, c, false, addr);
		return;
	}
	a64_logic_imm(&l->w, A64_ANDS, true, A64_ZR, addr, c->size - 1);
	across = arm_forward(l, A64_NE);
	exclusive(l, c, false, addr);
	done = l->w.len;
	a64_b(&l->w, a64_here(&l->w));
	a64_patch_here(&l->w, across);
	change_plain(l, c, &m);
	a64_patch_here(&l->w, done);
}

void arm_rmw(struct arm_lower *l)
{
	const struct jit_note *note = &l->p->note[l->i];
	const struct bpf_insn *load = &l->p->insns[l->i], *alu = &l->p->insns[note->mid];
	bool reg = BPF_SRC(alu->code) == BPF_X;
	u32 other = alu->dst_reg == load->dst_reg ? alu->src_reg : alu->dst_reg;
	u32 size = jit_size(load), op = BPF_OP(alu->code);
	struct change c = reg ? change_by(op, size, arm_value(l, other, ARM_T4)) : change_by_number(l, op, size, alu->imm);

	if (is_locked(l, l->i) || is_locked(l, note->last)) {
		change_locked(l, &c, exact_address(l, load->src_reg, load->off));
	} else {
		struct arm_mem m = arm_operand(l, load->src_reg, load->off, size);

		change_plain(l, &c, &m);
	}
	if (!jit_reg_live_out(l->p, note->last, alu->dst_reg))
		return;
	a64_mov(&l->w, true, arm_def(l, load->dst_reg), ARM_T1);
	arm_alu(l, alu);
}
