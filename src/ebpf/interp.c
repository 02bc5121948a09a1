/* SPDX-License-Identifier: MIT */
#include "ebpf/interp.h"

#include <errno.h>
#include <string.h>

#include "abi/payload.h"
#include "ebpf/kfuncs.h"

#define FUNC_TAG (1ull << 62) /* address of a function: this + its first instruction */
#define LOOPS_MAX (1u << 23)

struct frame {
	u32 ret;      /* instruction to go on with */
	u32 may_gotos; /* of the function that runs here */
	u64 saved[5]; /* caller's R6..R10 */
};

struct run {
	const struct interp *it;
	u64 r[11];
	u32 pc;
	u32 depth;
	u64 steps; /* instructions so far */
	struct frame frame[EBPF_MAX_FRAMES];
	u8 stack[EBPF_MAX_FRAMES][EBPF_MAX_STACK] __attribute__((aligned(16)));
};

static int run_to_return(struct run *r, u32 depth);

static void *mem_at(struct run *r, u64 addr, u32 size, bool write)
{
	u64 lo = (u64)(uintptr_t)r->stack[0],
	    hi = (u64)(uintptr_t)r->stack[r->depth] + EBPF_MAX_STACK;

	if (addr >= lo && addr < hi && size <= hi - addr)
		return (void *)(uintptr_t)addr;
	for (u32 i = 0; i < r->it->nranges; i++) {
		const struct interp_range *x = &r->it->range[i];

		if (addr >= x->lo && addr < x->hi && size <= x->hi - addr &&
		    (x->writable || !write))
			return (void *)(uintptr_t)addr;
	}
	return NULL;
}

static u32 size_of(const struct bpf_insn *insn)
{
	switch (BPF_SIZE(insn->code)) {
	case BPF_B: return 1;
	case BPF_H: return 2;
	case BPF_W: return 4;
	default: return 8;
	}
}

static u64 load(const void *p, u32 size)
{
	u64 v = 0;

	memcpy(&v, p, size);
	return v;
}

static u64 sign_extend(u64 v, u32 bits)
{
	return bits >= 64 ? v : (u64)((s64)(v << (64 - bits)) >> (64 - bits));
}

static u64 divide(u8 op, bool sign, u32 bits, u64 a, u64 b)
{
	s64 x = (s64)sign_extend(a, bits), y = (s64)sign_extend(b, bits);

	if (b == 0)
		return op == BPF_DIV ? 0 : a;
	if (!sign)
		return op == BPF_DIV ? a / b : a % b;
	if (y == -1)
		return op == BPF_DIV ? 0 - (u64)x : 0;
	return (u64)(op == BPF_DIV ? x / y : x % y);
}

static u64 swap(u64 v, u32 bits)
{
	switch (bits) {
	case 16: return __builtin_bswap16((u16)v);
	case 32: return __builtin_bswap32((u32)v);
	default: return __builtin_bswap64(v);
	}
}

static int run_end(const struct bpf_insn *insn, u64 *dst)
{
	bool bswap = BPF_CLASS(insn->code) == BPF_ALU64;

	if ((insn->imm != 16 && insn->imm != 32 && insn->imm != 64) || insn->off ||
	    (bswap && BPF_SRC(insn->code) == BPF_X))
		return -EINVAL;
	if (bswap || BPF_SRC(insn->code) == BPF_X)
		*dst = swap(*dst, (u32)insn->imm);
	else if (insn->imm < 64)
		*dst &= (1ull << insn->imm) - 1;
	return 0;
}

static int run_alu(struct run *r, const struct bpf_insn *insn)
{
	u32 bits = BPF_CLASS(insn->code) == BPF_ALU64 ? 64 : 32;
	u64 mask = bits == 64 ? ~0ull : 0xffffffffull;
	u64 a = r->r[insn->dst_reg] & mask;
	u64 b = (BPF_SRC(insn->code) == BPF_X ? r->r[insn->src_reg] : (u64)(s64)insn->imm) & mask;
	u8 op = BPF_OP(insn->code), count = (u8)(b & (bits - 1));

	switch (op) {
	case BPF_ADD: a += b; break;
	case BPF_SUB: a -= b; break;
	case BPF_MUL: a *= b; break;
	case BPF_OR: a |= b; break;
	case BPF_AND: a &= b; break;
	case BPF_XOR: a ^= b; break;
	case BPF_LSH: a <<= count; break;
	case BPF_RSH: a >>= count; break;
	case BPF_ARSH: a = (u64)((s64)sign_extend(a, bits) >> count); break;
	case BPF_NEG: a = 0 - a; break;
	case BPF_MOV:
		if (ebpf_insn_is_cast(insn) && r->it->arena) {
			a = insn->imm == EBPF_CAST_USER && (u32)b ? (r->it->arena->user >> 32 << 32 | (u32)b) : (u32)b;
			break;
		}
		if (insn->off && insn->off != 8 && insn->off != 16 &&
		    (insn->off != 32 || bits == 32))
			return -EINVAL;
		a = insn->off ? sign_extend(b, (u32)insn->off) : b;
		break;
	case BPF_DIV:
	case BPF_MOD:
		if (insn->off != 0 && insn->off != 1)
			return -EINVAL;
		a = divide(op, insn->off, bits, a, b);
		break;
	case BPF_END: return run_end(insn, &r->r[insn->dst_reg]);
	default: return -EINVAL;
	}
	r->r[insn->dst_reg] = a & mask;
	return 0;
}

static bool compare(const struct bpf_insn *insn, u64 a, u64 b, u32 bits)
{
	s64 x = (s64)sign_extend(a, bits), y = (s64)sign_extend(b, bits);

	switch (BPF_OP(insn->code)) {
	case BPF_JEQ: return a == b;
	case BPF_JNE: return a != b;
	case BPF_JGT: return a > b;
	case BPF_JGE: return a >= b;
	case BPF_JLT: return a < b;
	case BPF_JLE: return a <= b;
	case BPF_JSET: return a & b;
	case BPF_JSGT: return x > y;
	case BPF_JSGE: return x >= y;
	case BPF_JSLT: return x < y;
	default: return x <= y;
	}
}

static int enter(struct run *r, u32 target)
{
	struct frame *f = &r->frame[r->depth];

	if (r->depth + 1 == EBPF_MAX_FRAMES)
		return -E2BIG;
	f->ret = r->pc;
	memcpy(f->saved, &r->r[6], sizeof(f->saved));
	r->depth++;
	r->frame[r->depth].may_gotos = 0;
	r->r[10] = (u64)(uintptr_t)r->stack[r->depth] + EBPF_MAX_STACK;
	r->pc = target;
	return 0;
}

/* bpf_loop(n, function, data, flags) */
static int run_loop(struct run *r)
{
	u64 n = (u32)r->r[1], func = r->r[2], data = r->r[3], i;
	int err;

	if (r->r[4]) {
		r->r[0] = (u64)-EINVAL;
		return 0;
	}
	if (n > LOOPS_MAX) {
		r->r[0] = (u64)-E2BIG;
		return 0;
	}
	for (i = 0; i < n; i++) {
		err = enter(r, (u32)(func & ~FUNC_TAG));
		if (err)
			return err;
		r->r[1] = i;
		r->r[2] = data;
		err = run_to_return(r, r->depth);
		if (err)
			return err;
		if (r->r[0]) {
			i++;
			break;
		}
	}
	r->r[0] = i;
	return 0;
}

struct iter_num {
	s32 now, end;
};

static int run_iter_num(struct run *r, u32 id)
{
	struct iter_num *it = mem_at(r, r->r[1], sizeof(*it), true);
	s32 from = (s32)r->r[2], to = (s32)r->r[3];

	if (!it)
		return -EFAULT;
	switch (id) {
	case EBPF_KFUNC_ITER_NUM_NEW:
		r->r[0] = from > to ? (u64)-EINVAL : (s64)to - from > LOOPS_MAX ? (u64)-E2BIG : 0;
		*it = r->r[0] ? (struct iter_num){0} : (struct iter_num){(s32)((u32)from - 1), to};
		return 0;
	case EBPF_KFUNC_ITER_NUM_NEXT:
		if ((s64)it->now + 1 >= it->end) {
			*it = (struct iter_num){0};
			r->r[0] = 0;
			return 0;
		}
		it->now++;
		r->r[0] = (u64)(uintptr_t)&it->now;
		return 0;
	default: *it = (struct iter_num){0}; return 0;
	}
}

static int run_kfunc(struct run *r, u32 id)
{
	if (id >= EBPF_KFUNC_ITER_NUM_NEW && id <= EBPF_KFUNC_ITER_NUM_DESTROY)
		return run_iter_num(r, id);
	return r->it->kfunc ? r->it->kfunc(r->it->arg, id, &r->r[1], &r->r[0]) : -EINVAL;
}

static int run_call(struct run *r, const struct bpf_insn *insn)
{
	if (insn->src_reg == BPF_PSEUDO_CALL)
		return enter(r, r->pc + (u32)insn->imm);
	if (insn->src_reg == BPF_PSEUDO_KFUNC_CALL)
		return run_kfunc(r, (u32)insn->imm);
	if (insn->src_reg == 0 && insn->imm == BPF_FUNC_loop)
		return run_loop(r);
	if (insn->src_reg || !r->it->helper)
		return -EINVAL;
	return r->it->helper(r->it->arg, (u32)insn->imm, &r->r[1], &r->r[0]);
}

static int run_jump(struct run *r, const struct bpf_insn *insn)
{
	u32 bits = BPF_CLASS(insn->code) == BPF_JMP ? 64 : 32;
	u64 mask = bits == 64 ? ~0ull : 0xffffffffull;
	u64 a = r->r[insn->dst_reg] & mask;
	u64 b = (BPF_SRC(insn->code) == BPF_X ? r->r[insn->src_reg] : (u64)(s64)insn->imm) & mask;
	u8 op = BPF_OP(insn->code);

	if (op == BPF_CALL)
		return insn->code == (BPF_JMP | BPF_CALL) ? run_call(r, insn) : -EINVAL;
	if (ebpf_insn_is_may_goto(insn)) {
		if (r->frame[r->depth].may_gotos == (r->it->may_gotos ? r->it->may_gotos : LOOPS_MAX))
			r->pc += (u32)(s32)insn->off;
		else
			r->frame[r->depth].may_gotos++;
		return 0;
	}
	if (op == BPF_JA)
		r->pc += (u32)(bits == 64 ? insn->off : insn->imm);
	else if (op > BPF_JSLE)
		return -EINVAL;
	else if (compare(insn, a, b, bits))
		r->pc += (u32)(s32)insn->off;
	return 0;
}

static bool is_arena(const struct run *r, const struct bpf_insn *insn)
{
	return r->it->arena && r->it->arena->access[insn - r->it->insns];
}

/* NULL: outside. */
static void *arena_at(const struct run *r, u64 reg, s16 off, u32 size)
{
	const struct interp_arena *a = r->it->arena;
	u64 at = (u64)(u32)reg + (u64)(s64)off - (u32)a->user;

	return at > a->size - size ? NULL : (void *)(uintptr_t)(a->at + at);
}

static int run_atomic(struct run *r, const struct bpf_insn *insn)
{
	u32 size = size_of(insn);
	bool acq = insn->imm == EBPF_LOAD_ACQ, rel = insn->imm == EBPF_STORE_REL;
	u64 addr = r->r[acq ? insn->src_reg : insn->dst_reg] + (u64)(s64)insn->off;
	u64 src = r->r[insn->src_reg], old, new;
	bool arena = is_arena(r, insn);
	void *p = arena ? arena_at(r, addr - (u64)(s64)insn->off, insn->off, size) : mem_at(r, addr, size, !acq);

	if (!acq && !rel && size < 4)
		return -EINVAL;
	if (!p && arena) {
		if (acq)
			r->r[insn->dst_reg] = 0;
		return 0;
	}
	if (!p)
		return -EFAULT;
	if (size == 4)
		src = (u32)src;
	old = load(p, size);
	switch (insn->imm) {
	case BPF_ADD:
	case BPF_ADD | BPF_FETCH: new = old + src; break;
	case BPF_OR:
	case BPF_OR | BPF_FETCH: new = old | src; break;
	case BPF_AND:
	case BPF_AND | BPF_FETCH: new = old &src; break;
	case BPF_XOR:
	case BPF_XOR | BPF_FETCH: new = old ^ src; break;
	case BPF_XCHG: new = src; break;
	case BPF_CMPXCHG: new = old == (size == 4 ? (u32)r->r[0] : r->r[0]) ? src : old; break;
	case EBPF_LOAD_ACQ: r->r[insn->dst_reg] = old; return 0;
	case EBPF_STORE_REL: new = src; break;
	default: return -EINVAL;
	}
	memcpy(p, &new, size); /* one thread: nobody sees between load and store */
	if (insn->imm == BPF_CMPXCHG)
		r->r[0] = old;
	else if (insn->imm & BPF_FETCH)
		r->r[insn->src_reg] = old;
	return 0;
}

static int run_mem(struct run *r, const struct bpf_insn *insn)
{
	u8 class = BPF_CLASS(insn->code), mode = BPF_MODE(insn->code);
	u64 base = r->r[class == BPF_LDX ? insn->src_reg : insn->dst_reg];
	u64 v = class == BPF_ST ? (u64)(s64)insn->imm : r->r[insn->src_reg];
	u32 size = size_of(insn);
	void *p;

	if (class == BPF_STX && mode == BPF_ATOMIC)
		return run_atomic(r, insn);
	if (mode != BPF_MEM && (class != BPF_LDX || mode != BPF_MEMSX || size == 8))
		return -EINVAL;
	p = is_arena(r, insn) ? arena_at(r, base, insn->off, size) : mem_at(r, base + (u64)(s64)insn->off, size, class != BPF_LDX);
	if (!p && is_arena(r, insn)) {
		if (class == BPF_LDX)
			r->r[insn->dst_reg] = 0;
		return 0;
	}
	if (!p)
		return -EFAULT;
	if (class != BPF_LDX)
		memcpy(p, &v, size);
	else
		r->r[insn->dst_reg] =
		    mode == BPF_MEMSX ? sign_extend(load(p, size), 8 * size) : load(p, size);
	return 0;
}

static int run_ld_imm64(struct run *r, const struct bpf_insn *insn)
{
	u64 *dst = &r->r[insn->dst_reg];

	if (insn->code != (BPF_LD | BPF_IMM | BPF_DW) || r->pc >= r->it->n)
		return -EINVAL;
	r->pc++;
	if (insn->src_reg && insn->src_reg != BPF_PSEUDO_FUNC && (u32)insn->imm >= r->it->nmaps)
		return -EINVAL;
	switch (insn->src_reg) {
	case 0: *dst = (u32)insn->imm | (u64)(u32)insn[1].imm << 32; return 0;
	case BPF_PSEUDO_FUNC: *dst = FUNC_TAG + (u32)(r->pc - 1 + (u32)insn->imm); return 0;
	case BPF_PSEUDO_MAP_FD: *dst = r->it->map_view[insn->imm]; return 0;
	case BPF_PSEUDO_MAP_VALUE: *dst = r->it->map_data[insn->imm] + (u32)insn[1].imm; return 0;
	default: return -EINVAL;
	}
}

/* *ret_inside: the packet has these bytes. What they are says the helper. */
static int run_packet_load(struct run *r, const struct bpf_insn *insn, bool *ret_inside)
{
	u32 size = size_of(insn);
	u64 off = (BPF_MODE(insn->code) == BPF_IND ? r->r[insn->src_reg] : 0) + (u64)(s64)insn->imm;
	const u64 args[5] = {r->r[6], off, size};
	u64 value = 0;
	int err = r->it->helper ? r->it->helper(r->it->arg, NT_HELPER_PACKET_LOAD, args, &value) : -EINVAL;

	*ret_inside = (s64)value >= 0;
	r->r[0] = *ret_inside ? value : 0;
	return err;
}

static int run_insn(struct run *r, const struct bpf_insn *insn)
{
	if (insn->dst_reg > 10 || insn->src_reg > 10)
		return -EINVAL;
	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64: return run_alu(r, insn);
	case BPF_JMP:
	case BPF_JMP32: return run_jump(r, insn);
	case BPF_LD: return run_ld_imm64(r, insn);
	default: return run_mem(r, insn);
	}
}

/* Runs until the function at this depth has returned. */
static int run_to_return(struct run *r, u32 depth)
{
	const struct interp *it = r->it;
	u64 limit = it->max_insns ? it->max_insns : 1000000;

	while (r->steps++ < limit) {
		const struct bpf_insn *insn;
		bool inside;
		int err;

		if (r->pc >= it->n)
			return -EINVAL;
		if (it->step)
			it->step(it->arg, r->pc, r->r, r->depth);
		insn = &it->insns[r->pc++];
		if (ebpf_insn_is_packet_load(insn)) {
			err = run_packet_load(r, insn, &inside);
			if (err)
				return err;
			if (inside)
				continue;
		}
		if (ebpf_insn_is_exit(insn) || ebpf_insn_is_packet_load(insn)) {
			bool last = r->depth == depth;

			if (r->depth) {
				r->pc = r->frame[--r->depth].ret;
				memcpy(&r->r[6], r->frame[r->depth].saved, sizeof(r->frame[0].saved));
			}
			if (last)
				return 0;
			continue;
		}
		err = run_insn(r, insn);
		if (err)
			return err;
	}
	return -ELOOP;
}

int interp_run(const struct interp *it, u64 ctx, u64 *ret_r0)
{
	struct run r = {.it = it};
	int err;

	r.r[1] = ctx;
	r.r[10] = (u64)(uintptr_t)r.stack[0] + EBPF_MAX_STACK;
	err = run_to_return(&r, 0);
	if (!err)
		*ret_r0 = r.r[0];
	return err;
}
