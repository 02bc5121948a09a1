/* SPDX-License-Identifier: MIT */
/*
 * ALU instructions: arithmetic on scalars, and the little that may be done to pointers (adding and
 * subtracting bounded numbers, copying). A pointer that is cut, multiplied or the like turns into
 * an unknown number.
 */
#include <errno.h>

#include "verifier/env.h"

static const char *op_text(u8 op)
{
	static const char *const text[16] = {"+=",   "-=",     "*=",  "/=", "|=", "&=",
					     "<<=",  ">>=",    "neg", "%=", "^=", "=",
					     "s>>=", "endian", "?",   "?"};

	return text[op >> 4];
}

/* check_reg_sane_offset(): of a number that is added to ptr, or of the pointer itself. */
static int sane_offset(struct venv *env, const struct vreg *ptr, const struct vreg *r)
{
	const struct range *v = &r->v;

	if (range_is_const(v) && (v->smin >= VMAX_VAR_OFF || v->smin <= -VMAX_VAR_OFF)) {
		vlog(env, "math between %s pointer and %lld is not allowed\n", vreg_type_name(ptr), (long long)v->smin);
		return -EINVAL;
	}
	if (r->off >= VMAX_VAR_OFF || r->off <= -VMAX_VAR_OFF) {
		vlog(env, "%s pointer offset %d is not allowed\n", vreg_type_name(ptr), r->off);
		return -EINVAL;
	}
	if (v->smin == INT64_MIN) {
		vlog(env, "math between %s pointer and register with unbounded min value is not allowed\n",
		     vreg_type_name(ptr));
		return -EINVAL;
	}
	if (v->smin >= VMAX_VAR_OFF || v->smin <= -VMAX_VAR_OFF) {
		vlog(env, "value %lld makes %s pointer be out of bounds\n", (long long)v->smin, vreg_type_name(ptr));
		return -EINVAL;
	}
	return 0;
}

/* A constant moves the fixed part, as long as it fits; anything else the variable one. */
static void pointer_move(struct vreg *ptr, const struct range *num, u8 op)
{
	s64 off = op == BPF_ADD ? ptr->off + num->smin : ptr->off - num->smin;

	if (range_is_const(num) && off == (s32)off)
		ptr->off = (s32)off;
	else
		range_alu(&ptr->v, num, op, 64);
}

/* dst = ptr op num, 64 bits wide; the pointer is the left side unless swapped. */
static int pointer_add(struct venv *env, const struct bpf_insn *in, struct vreg *ptr,
		       const struct vreg *num, bool swapped)
{
	u32 dst = in->dst_reg;
	u8 op = BPF_OP(in->code);
	struct vreg out = *ptr;
	int r;

	if (ptr->maybe_null) {
		vlog(env, "R%u pointer arithmetic on %s prohibited, null-check it first\n", dst,
		     vreg_type_name(ptr));
		return -EACCES;
	}
	if (ptr->type == VREG_MAP || ptr->type == VREG_FUNC || ptr->type == VREG_DYNPTR_ARG || ptr->type == VREG_PACKET_END) {
		vlog(env, "R%u pointer arithmetic on %s prohibited\n", dst, vreg_type_name(ptr));
		return -EACCES;
	}
	r = sane_offset(env, ptr, num);
	if (!r)
		r = sane_offset(env, ptr, ptr);
	if (r)
		return r;
	switch (op) {
	case BPF_ADD: break;
	case BPF_SUB:
		if (swapped) {
			vlog(env, "R%u tried to subtract pointer from scalar\n", dst);
			return -EACCES;
		}
		if (ptr->type == VREG_STACK) {
			vlog(env, "R%u subtraction from stack pointer prohibited\n", dst);
			return -EACCES;
		}
		break;
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		vlog(env, "R%u bitwise operator %s on pointer prohibited\n", dst, op_text(op));
		return -EACCES;
	default:
		vlog(env, "R%u pointer arithmetic with %s operator prohibited\n", dst, op_text(op));
		return -EACCES;
	}
	pointer_move(&out, &num->v, op);
	vpacket_moved(env, &out, num, op);
	r = sane_offset(env, &out, &out);
	if (r)
		return r;
	vorigin_demand(env, num->origin);
	*vreg_of(env, dst) = out;
	return 0;
}

static int alu_with_pointer(struct venv *env, const struct bpf_insn *in, struct vreg *dst,
			    const struct vreg *src)
{
	struct vreg left = *dst, right = *src;
	u8 op = BPF_OP(in->code);

	if (op != BPF_ADD) {
		vfact_ctx_escapes(env, dst);
		vfact_ctx_escapes(env, src);
	}
	if (vreg_is_pointer(dst) && vreg_is_pointer(src)) {
		if (op == BPF_SUB) {
			vreg_set_unknown(dst);
			if (BPF_CLASS(in->code) == BPF_ALU)
				vreg_truncate(dst, 4);
			return 0;
		}
		vlog(env, "R%u pointer %s pointer prohibited\n", in->dst_reg, op_text(op));
		return -EACCES;
	}
	if (BPF_CLASS(in->code) != BPF_ALU64) {
		if (op == BPF_SUB) {
			vreg_set_unknown(dst);
			vreg_truncate(dst, 4);
			return 0;
		}
		vlog(env, "R%u 32-bit pointer arithmetic prohibited\n", in->dst_reg);
		return -EACCES;
	}
	if (vreg_is_pointer(&left))
		return pointer_add(env, in, &left, &right, false);
	return pointer_add(env, in, &right, &left, true);
}

/* A group of equal numbers outlives the addition of a constant, once. */
static void keep_group(struct vreg *dst, const struct vreg *src, const struct bpf_insn *in)
{
	s64 add;

	if (!dst->id)
		return;
	add = (s64)src->v.t.value;
	if (in->code == (BPF_ALU64 | BPF_ADD | BPF_SRC(in->code)) && vreg_is_const(src) &&
	    !dst->delta && add >= INT32_MIN && add <= INT32_MAX) {
		dst->delta = (s32)add;
		return;
	}
	dst->id = 0;
	dst->delta = 0;
}

static bool is_shift(u8 op)
{
	return op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;
}

static bool shift_is_known(const struct range *n, u32 bits)
{
	if (bits == 32)
		return n->wmin == n->wmax && n->umax < 32;
	return range_is_const(n) && n->umax < 64;
}

static void alu_scalar(struct vreg *dst, const struct vreg *src, const struct bpf_insn *in)
{
	u32 bits = BPF_CLASS(in->code) == BPF_ALU64 ? 64 : 32;
	u8 op = BPF_OP(in->code);

	/* More could be known of 32-bit results: no more than the kernel knows, so that verdicts agree. */
	if (op == BPF_DIV || op == BPF_MOD || (is_shift(op) && !shift_is_known(&src->v, bits)))
		range_set_unknown(&dst->v);
	else
		range_alu(&dst->v, &src->v, op, bits);
	dst->origin |= src->origin;
}

static int check_imm(struct venv *env, const struct bpf_insn *in)
{
	s32 bits = BPF_CLASS(in->code) == BPF_ALU64 ? 64 : 32;

	switch (BPF_OP(in->code)) {
	case BPF_DIV:
	case BPF_MOD:
		if (in->imm)
			return 0;
		vlog(env, "div by zero\n");
		return -EINVAL;
	case BPF_LSH:
	case BPF_RSH:
	case BPF_ARSH:
		if (in->imm >= 0 && in->imm < bits)
			return 0;
		vlog(env, "invalid shift %d\n", in->imm);
		return -EINVAL;
	default: return 0;
	}
}

static int exec_binary(struct venv *env, const struct bpf_insn *in)
{
	struct vreg *dst, src;
	int r;

	if (BPF_SRC(in->code) == BPF_X) {
		r = vreg_check_read(env, in->src_reg);
		if (r)
			return r;
		src = *vreg_of(env, in->src_reg);
	} else {
		vreg_set_const(&src, (u64)(s64)in->imm);
	}
	r = vreg_check_read(env, in->dst_reg);
	if (!r && BPF_SRC(in->code) == BPF_K)
		r = check_imm(env, in);
	if (!r)
		r = vreg_check_write(env, in->dst_reg);
	if (r)
		return r;
	r = varena_alu(env, in, &src);
	if (r)
		return r < 0 ? r : 0;
	dst = vreg_of(env, in->dst_reg);
	if (vreg_is_pointer(dst) || vreg_is_pointer(&src))
		return alu_with_pointer(env, in, dst, &src);
	keep_group(dst, &src, in);
	alu_scalar(dst, &src, in);
	return 0;
}

/* The bits of the low bytes, in the other order. (This machine is little-endian: "le" only cuts.) */
static u64 swap_bytes(u64 v, u32 bits)
{
	switch (bits) {
	case 16: return __builtin_bswap16((u16)v);
	case 32: return __builtin_bswap32((u32)v);
	default: return __builtin_bswap64(v);
	}
}

/* scalar_byte_swap(): known bits stay known, in their new places; bounds follow from them alone. */
static void byte_swap(struct vreg *r, const struct bpf_insn *in)
{
	bool swap = BPF_CLASS(in->code) == BPF_ALU64 || BPF_SRC(in->code) == BPF_X;
	u32 bits = (u32)in->imm;
	struct tnum t = {swap_bytes(r->v.t.value, bits), swap_bytes(r->v.t.mask, bits)};

	if (swap || bits < 64) {
		r->id = 0;
		r->delta = 0;
	}
	if (swap) {
		range_set_unknown(&r->v);
		r->v.t = t;
		range_sync(&r->v);
	}
	vreg_truncate(r, bits / 8);
}

static int exec_unary(struct venv *env, const struct bpf_insn *in)
{
	struct vreg *dst, zero;
	u64 origin;
	int r = vreg_check_read(env, in->dst_reg);

	if (!r)
		r = vreg_check_write(env, in->dst_reg);
	if (r)
		return r;
	dst = vreg_of(env, in->dst_reg);
	origin = dst->origin;
	vfact_ctx_escapes(env, dst);
	if (BPF_OP(in->code) == BPF_END && !vreg_is_pointer(dst)) {
		byte_swap(dst, in);
		return 0;
	}
	if (vreg_is_pointer(dst)) {
		vreg_set_unknown(dst);
		if (BPF_OP(in->code) == BPF_NEG && BPF_CLASS(in->code) == BPF_ALU)
			vreg_truncate(dst, 4);
		return 0;
	}
	vreg_set_const(&zero, 0);
	range_alu(&zero.v, &dst->v, BPF_SUB, BPF_CLASS(in->code) == BPF_ALU64 ? 64 : 32);
	*dst = zero;
	dst->origin = origin;
	return 0;
}

static void sign_extend_copy(struct vreg *dst, u32 bytes)
{
	s64 lowest = -(1ll << (bytes * 8 - 1)), highest = (1ll << (bytes * 8 - 1)) - 1;

	if (dst->v.smin < lowest || dst->v.smax > highest)
		dst->id = 0;
	range_sign_extend(&dst->v, bytes);
}

static int exec_mov(struct venv *env, const struct bpf_insn *in)
{
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	struct vreg out;
	int r = 0;

	if (BPF_SRC(in->code) == BPF_K) {
		r = vreg_check_write(env, in->dst_reg);
		if (r)
			return r;
		vreg_set_const(vreg_of(env, in->dst_reg), is64 ? (u64)(s64)in->imm : (u32)in->imm);
		return 0;
	}
	r = vreg_check_read(env, in->src_reg);
	if (!r)
		r = vreg_check_write(env, in->dst_reg);
	if (r)
		return r;
	if (ebpf_insn_is_cast(in))
		return varena_cast(env, in);
	vreg_make_group(env, vreg_of(env, in->src_reg));
	out = *vreg_of(env, in->src_reg);
	if (vreg_is_pointer(&out) && (!is64 || in->off)) {
		vfact_ctx_escapes(env, &out);
		vreg_set_unknown(&out);
	}
	if (in->off)
		sign_extend_copy(&out, (u32)in->off / 8);
	if (!is64)
		vreg_truncate(&out, 4);
	*vreg_of(env, in->dst_reg) = out;
	return 0;
}

int valu_exec(struct venv *env, const struct bpf_insn *in)
{
	switch (BPF_OP(in->code)) {
	case BPF_MOV: return exec_mov(env, in);
	case BPF_NEG:
	case BPF_END: return exec_unary(env, in);
	default: return exec_binary(env, in);
	}
}

/* Only a function that nobody else can call may be called back; its BTF says so. */
static int check_func(struct venv *env, const struct bpf_insn *in)
{
	u32 i, start = (u32)ebpf_insn_target(in, env->cur.pc);

	if (!env->prog->funcs) {
		vlog(env, "missing btf func_info\n");
		return -EINVAL;
	}
	for (i = 0; i < env->prog->nfuncs; i++)
		if (env->prog->funcs[i].start == start && env->prog->funcs[i].is_static)
			return 0;
	vlog(env, "callback function not static\n");
	return -EINVAL;
}

int valu_ld64(struct venv *env, const struct bpf_insn *in)
{
	struct vreg out;
	int r = vreg_check_write(env, in->dst_reg);

	if (r)
		return r;
	switch (in->src_reg) {
	case BPF_PSEUDO_MAP_FD:
		vreg_set_pointer(&out, VREG_MAP);
		out.map = (u32)in->imm;
		break;
	case BPF_PSEUDO_FUNC:
		r = check_func(env, in);
		if (r)
			return r;
		vreg_set_pointer(&out, VREG_FUNC);
		out.map = (u32)ebpf_insn_target(in, env->cur.pc);
		break;
	case BPF_PSEUDO_MAP_VALUE:
		vreg_set_pointer(&out, VREG_VALUE);
		out.map = (u32)in->imm;
		out.off = in[1].imm;
		break;
	default: vreg_set_const(&out, (u64)(u32)in[1].imm << 32 | (u32)in->imm);
	}
	*vreg_of(env, in->dst_reg) = out;
	return 0;
}
