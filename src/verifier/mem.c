/* SPDX-License-Identifier: MIT */
/* Loads, stores and atomics: what kind of memory is it, and what does the register hold afterwards.
 */
#include <errno.h>
#include <string.h>

#include "verifier/env.h"

struct access {
	u32 insn;
	u32 regno; /* address */
	s32 off;
	u32 size;
	enum vaccess how;
	bool strict; /* must be aligned whatever the memory */
	bool sign;   /* what is loaded is extended by its sign */
};

/* The stack is tracked by slots, so accesses stay in one; others may be unaligned on this machine.
 */
static int check_alignment(struct venv *env, const struct access *a)
{
	const struct vreg *r = vreg_of(env, a->regno);
	bool stack = r->type == VREG_STACK;
	char bits[VTNUM_TEXT];

	if (!stack && (!a->strict || r->type == VREG_ARENA))
		return 0;
	if (tnum_is_aligned(tnum_add(r->v.t, tnum_const((u64)((s64)r->off + a->off))), a->size))
		return 0;
	vlog_tnum(r->v.t, bits);
	vlog(env, "misaligned %saccess off %s+%d+%d size %u\n",
	     stack		     ? "stack "
	     : r->type == VREG_VALUE ? "value "
				     : "",
	     bits, r->off, a->off, a->size);
	return -EACCES;
}

int vmem_check_aligned(struct venv *env, u32 regno, u32 size)
{
	return check_alignment(env, &(struct access){.regno = regno, .size = size, .strict = true});
}

static u8 value_kind(const struct verifier_map *map)
{
	switch (map->type) {
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return VMEM_PERCPU_MAP;
	default: return VMEM_MAP;
	}
}

static void note_kind(struct venv *env, const struct access *a)
{
	const struct vreg *r = vreg_of(env, a->regno);

	switch (r->type) {
	case VREG_STACK: vfact_mem(env, a->insn, VMEM_STACK); return;
	case VREG_CTX: vfact_mem(env, a->insn, VMEM_CTX); return;
	case VREG_RECORD: vfact_mem(env, a->insn, VMEM_RINGBUF); return;
	case VREG_ARENA:
		vfact_mem(env, a->insn, VMEM_ARENA);
		vfact_map(env, a->insn, (u32)varena_index(env));
		return;
	case VREG_KEY:
	case VREG_REGS:
	case VREG_PACKET:
	case VREG_PACKET_META:
	case VREG_MEM: vfact_mem(env, a->insn, VMEM_MIXED); return;
	default:
		vfact_mem(env, a->insn, value_kind(&env->prog->maps[r->map]));
		if (r->map < env->prog->nmaps)
			vfact_map(env, a->insn, r->map);
		else
			vfact_no_map(env, a->insn);
	}
}

/* The kernel rewrites accesses to contexts, so an instruction makes these or others. */
static int check_same_kind(struct venv *env, const struct access *a)
{
	u8 type = vreg_of(env, a->regno)->type;

	if (vfact_ctx_alone(env, a->insn, type == VREG_CTX ? VMEM_CTX : type == VREG_ARENA ? VMEM_ARENA : VMEM_MIXED))
		return 0;
	vlog(env, "same insn cannot be used with different pointers\n");
	return -EINVAL;
}

/* A frozen map that programs cannot write: its bytes are constants. */
static bool load_constant(struct venv *env, const struct access *a, u64 *ret)
{
	const struct vreg *r = vreg_of(env, a->regno);
	const struct verifier_map *map = &env->prog->maps[r->map];
	u64 v = 0;

	if (!map->frozen || !(map->map_flags & BPF_F_RDONLY_PROG) || !range_is_const(&r->v))
		return false;
	memcpy(&v, map->frozen + vreg_fixed_off(r) + a->off, a->size);
	*ret = v;
	return true;
}

static int check_not_stack(struct venv *env, const struct access *a)
{
	const struct vreg *r = vreg_of(env, a->regno);

	if (!r->maybe_null) {
		switch (r->type) {
		case VREG_CTX: return vaccess_ctx(env, a->regno, a->off, a->size, a->how);
		case VREG_VALUE:
			return vaccess_value(env, a->regno, a->off, a->size, a->how, false);
		case VREG_RECORD:
		case VREG_KEY:
		case VREG_REGS:
		case VREG_MEM: return vaccess_memory(env, a->regno, a->off, a->size, a->how, false);
		case VREG_PACKET:
		case VREG_PACKET_META: return vpacket_access(env, a->regno, a->off, a->size, false);
		case VREG_ARENA: return 0;
		default: break;
		}
	}
	vlog(env, "R%u invalid mem access '%s'\n", a->regno, vreg_type_name(r));
	return -EACCES;
}

static int access_load(struct venv *env, const struct access *a, struct vreg *ret)
{
	const struct vreg *r = vreg_of(env, a->regno);
	struct vreg out;
	u64 constant;
	int err = check_alignment(env, a);

	if (err)
		return err;
	if (r->type == VREG_STACK) {
		err = vstack_load(env, a->regno, a->off, a->size, &out);
	} else {
		err = check_not_stack(env, a);
		vreg_set_unknown(&out);
		vreg_truncate(&out, a->size);
		if (!err && r->type == VREG_VALUE && load_constant(env, a, &constant))
			vreg_set_const(&out, constant);
		if (!err && r->type == VREG_CTX)
			err = vctx_loaded(env, a->off, a->size, a->sign, &out);
	}
	if (err)
		return err;
	note_kind(env, a);
	*ret = out;
	return check_same_kind(env, a);
}

static int access_store(struct venv *env, const struct access *a, const struct vreg *value)
{
	int err = check_alignment(env, a);

	if (err)
		return err;
	if (vreg_of(env, a->regno)->type == VREG_STACK)
		err = vstack_store(env, a->regno, a->off, a->size, value);
	else
		err = check_not_stack(env, a);
	if (err)
		return err;
	note_kind(env, a);
	if (vreg_of(env, a->regno)->type != VREG_STACK)
		vfact_ctx_escapes(env, value);
	return check_same_kind(env, a);
}

static int exec_load(struct venv *env, const struct bpf_insn *in)
{
	struct access a = {.insn = env->cur.pc,
			   .regno = in->src_reg,
			   .off = in->off,
			   .size = ebpf_insn_size(in),
			   .how = VACCESS_READ};
	bool sign = BPF_MODE(in->code) == BPF_MEMSX;
	struct vreg value;
	int r = vreg_check_read(env, in->src_reg);

	a.sign = sign;
	if (!r)
		r = vreg_check_write(env, in->dst_reg);
	if (!r)
		r = access_load(env, &a, &value);
	if (r)
		return r;
	if (sign && vreg_is_scalar(&value)) {
		if (value.v.smax > (s64)((1ull << (a.size * 8 - 1)) - 1))
			value.id = 0;
		range_sign_extend(&value.v, a.size);
	}
	*vreg_of(env, in->dst_reg) = value;
	return 0;
}

/* Atomics: of a context, of a packet. */
static int refuse_ctx(struct venv *env, const char *what, u32 regno, const char *does)
{
	const struct vreg *r = vreg_of(env, regno);

	if (r->type != VREG_CTX && !vpacket_is(r))
		return 0;
	vlog(env, "%s %s R%u %s is not allowed\n", what, does, regno, vreg_type_name(r));
	return -EACCES;
}

static int exec_store(struct venv *env, const struct bpf_insn *in)
{
	struct access a = {.insn = env->cur.pc,
			   .regno = in->dst_reg,
			   .off = in->off,
			   .size = ebpf_insn_size(in),
			   .how = VACCESS_WRITE};
	struct vreg value;
	int r;

	if (BPF_CLASS(in->code) == BPF_STX) {
		r = vreg_check_read(env, in->src_reg);
		if (!r)
			r = vreg_check_read(env, in->dst_reg);
		if (r)
			return r;
		/* a number on the stack stays tied to the register it came from */
		if (vreg_of(env, in->dst_reg)->type == VREG_STACK)
			vreg_make_group(env, vreg_of(env, in->src_reg));
		value = *vreg_of(env, in->src_reg);
	} else {
		r = vreg_check_read(env, in->dst_reg);
		if (r)
			return r;
		vreg_set_const(&value, (u64)(s64)in->imm);
	}
	return access_store(env, &a, &value);
}

/* Atomics work on slots whose place is known. */
static int refuse_var_stack(struct venv *env, const struct access *a)
{
	const struct vreg *r = vreg_of(env, a->regno);
	char bits[VTNUM_TEXT];

	if (r->type != VREG_STACK || range_is_const(&r->v))
		return 0;
	vlog_tnum(r->v.t, bits);
	vlog(env,
	     "variable offset stack pointer cannot be passed into helper function; var_off=%s off=%d size=%u\n",
	     bits, a->off, a->size);
	return -EACCES;
}

static int exec_acquire(struct venv *env, const struct bpf_insn *in)
{
	struct access a = {.insn = env->cur.pc,
			   .regno = in->src_reg,
			   .off = in->off,
			   .size = ebpf_insn_size(in),
			   .how = VACCESS_READ,
			   .strict = true};
	struct vreg value;
	int r = vreg_check_read(env, in->src_reg);

	if (!r)
		r = vreg_check_write(env, in->dst_reg);
	if (!r)
		r = refuse_ctx(env, "BPF_ATOMIC", in->src_reg, "loads from");
	if (!r)
		r = access_load(env, &a, &value);
	if (!r)
		*vreg_of(env, in->dst_reg) = value;
	return r;
}

static int exec_release(struct venv *env, const struct bpf_insn *in)
{
	struct access a = {.insn = env->cur.pc,
			   .regno = in->dst_reg,
			   .off = in->off,
			   .size = ebpf_insn_size(in),
			   .how = VACCESS_WRITE,
			   .strict = true};
	struct vreg value;
	int r = vreg_check_read(env, in->src_reg);

	if (!r)
		r = vreg_check_read(env, in->dst_reg);
	if (!r)
		r = refuse_ctx(env, "BPF_ATOMIC", in->dst_reg, "stores into");
	if (r)
		return r;
	if (vreg_of(env, in->dst_reg)->type == VREG_STACK)
		vreg_make_group(env, vreg_of(env, in->src_reg));
	value = *vreg_of(env, in->src_reg);
	return access_store(env, &a, &value);
}

/* These are loops, which the kernel's compiler does not make for memory that may not be there. */
static int refuse_arena_loop(struct venv *env, const struct bpf_insn *in)
{
	bool loop = in->imm == (BPF_AND | BPF_FETCH) || in->imm == (BPF_OR | BPF_FETCH) || in->imm == (BPF_XOR | BPF_FETCH);

	if (!loop || vreg_of(env, in->dst_reg)->type != VREG_ARENA)
		return 0;
	vlog(env, "BPF_ATOMIC stores into R%u arena is not allowed\n", in->dst_reg);
	return -EACCES;
}

static int exec_atomic(struct venv *env, const struct bpf_insn *in)
{
	struct access a = {.insn = env->cur.pc,
			   .regno = in->dst_reg,
			   .off = in->off,
			   .size = ebpf_insn_size(in),
			   .how = VACCESS_READ,
			   .strict = true};
	bool fetch = in->imm & BPF_FETCH;
	u32 load_reg = in->imm == BPF_CMPXCHG ? 0 : in->src_reg;
	struct vreg old, unknown;
	int r = vreg_check_read(env, in->src_reg);

	if (!r)
		r = vreg_check_read(env, in->dst_reg);
	if (!r && in->imm == BPF_CMPXCHG)
		r = vreg_check_read(env, 0);
	if (!r)
		r = refuse_ctx(env, "BPF_ATOMIC", in->dst_reg, "stores into");
	if (!r)
		r = refuse_arena_loop(env, in);
	if (!r)
		r = refuse_var_stack(env, &a);
	if (!r && fetch)
		r = vreg_check_write(env, load_reg);
	if (!r)
		r = access_load(env, &a, &old);
	if (r)
		return r;
	/* the kernel's order: if the address register is overwritten by the old value, the store is
	 * refused */
	vfact_ctx_escapes(env, vreg_of(env, in->src_reg));
	if (fetch)
		*vreg_of(env, load_reg) = old;
	vreg_set_unknown(&unknown);
	a.how = VACCESS_WRITE;
	return access_store(env, &a, &unknown);
}

int vmem_exec(struct venv *env, const struct bpf_insn *in)
{
	if (BPF_CLASS(in->code) == BPF_LDX)
		return exec_load(env, in);
	if (ebpf_insn_is_atomic(in) && in->imm == EBPF_LOAD_ACQ)
		return exec_acquire(env, in);
	if (ebpf_insn_is_atomic(in) && in->imm == EBPF_STORE_REL)
		return exec_release(env, in);
	if (ebpf_insn_is_atomic(in))
		return exec_atomic(env, in);
	return exec_store(env, in);
}
