/* SPDX-License-Identifier: MIT */
/* Calls of helpers: arguments against the prototype, map types against the helper, and what R0 is
 * afterwards. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "ebpf/helpers.h"
#include "verifier/env.h"

#define MEM_TYPES "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_"
#define MAX_ERRNO 4095

struct call {
	u32 id;
	const struct ebpf_helper *h;
	u32 map; /* index, valid if has_map */
	bool has_map;
	bool null_free; /* the look-up cannot fail */
	u32 alloc;	/* EBPF_ARG_ALLOC */
	u32 release;	/* reference given away, 0 = none */
	s64 size_max;	/* upper bound of the size argument */
};

static const char *helper_name(u32 id)
{
	const char *name = ebpf_helper_name(id);

	return name ? name : "unknown";
}

static int type_error(struct venv *env, u32 regno, const char *expected)
{
	vlog(env, "R%u type=%s expected=%s\n", regno, vreg_type_name(vreg_of(env, regno)),
	     expected);
	return -EACCES;
}

static const char *expected_type(u8 arg)
{
	switch (arg) {
	case EBPF_ARG_CTX: return "ctx";
	case EBPF_ARG_MAP: return "map_ptr";
	case EBPF_ARG_STRING: return "map_value";
	case EBPF_ARG_RECORD: return "ringbuf_mem";
	case EBPF_ARG_SIZE:
	case EBPF_ARG_SIZE0:
	case EBPF_ARG_ALLOC: return "scalar";
	case EBPF_ARG_FUNC: return "func";
	case EBPF_ARG_FUNC_DATA: return "fp";
	case EBPF_ARG_DYNPTR:
	case EBPF_ARG_DYNPTR_NEW:
	case EBPF_ARG_DYNPTR_RECORD: return "fp, dynptr_ptr";
	case EBPF_ARG_TASK:
	case EBPF_ARG_TASK_NULL:
	case EBPF_ARG_CGROUP: return "ptr_, trusted_ptr_, rcu_ptr_";
	case EBPF_ARG_PERCPU: return "percpu_ptr_, percpu_rcu_ptr_, percpu_trusted_ptr_";
	case EBPF_ARG_LOCK:
	case EBPF_ARG_KPTR: return "map_value, ptr_";
	case EBPF_ARG_TIMER: return "map_value";
	default: return MEM_TYPES;
	}
}

static bool type_fits(const struct vreg *r, u8 arg)
{
	if (r->maybe_null)
		return arg == EBPF_ARG_ANY;
	switch (arg) {
	case EBPF_ARG_ANY: return true;
	case EBPF_ARG_CTX: return r->type == VREG_CTX;
	case EBPF_ARG_MAP: return r->type == VREG_MAP;
	case EBPF_ARG_STRING: return r->type == VREG_VALUE;
	case EBPF_ARG_RECORD: return r->type == VREG_RECORD;
	case EBPF_ARG_SIZE:
	case EBPF_ARG_SIZE0:
	case EBPF_ARG_ALLOC: return r->type == VREG_SCALAR;
	case EBPF_ARG_FUNC:
	case EBPF_ARG_FUNC_DATA:
	case EBPF_ARG_DYNPTR:
	case EBPF_ARG_DYNPTR_NEW:
	case EBPF_ARG_DYNPTR_RECORD:
	case EBPF_ARG_TASK:
	case EBPF_ARG_TASK_NULL:
	case EBPF_ARG_PERCPU:
	case EBPF_ARG_CGROUP:
	case EBPF_ARG_LOCK:
	case EBPF_ARG_TIMER:
	case EBPF_ARG_KPTR: return false;
	case EBPF_ARG_MEM_NULL:
	case EBPF_ARG_OUT_NULL:
	case EBPF_ARG_VALUE_NULL:
		if (vreg_is_null(r))
			return true;
		/* fall through */
	default:
		return r->type == VREG_STACK || r->type == VREG_VALUE || r->type == VREG_RECORD ||
		       r->type == VREG_MEM;
	}
}

struct mem_arg {
	u32 regno, size;
	enum vaccess how;
	bool zero_ok;
	bool exact; /* all of size is touched */
};

static int check_mem(struct venv *env, const struct mem_arg *m)
{
	const struct vreg *r = vreg_of(env, m->regno);
	u32 frame = r->frame;
	struct vspan span;
	int err;

	switch (r->type) {
	case VREG_VALUE: return vaccess_value(env, m->regno, 0, m->size, m->how, m->zero_ok);
	case VREG_RECORD:
	case VREG_MEM: return vaccess_memory(env, m->regno, 0, m->size, m->how, m->zero_ok);
	case VREG_STACK:
		if (!m->size && !m->zero_ok) {
			vlog(env, "invalid zero-sized read\n");
			return -EACCES;
		}
		err = vstack_span(env, m->regno, 0, m->size, m->how, &span);
		if (err)
			return err;
		span.fixed = span.fixed && m->exact;
		if (m->how == VACCESS_WRITE)
			return vstack_clobber_span(env, frame, &span);
		vstack_read_span(env, frame, &span);
		return 0;
	default:
		if (!m->size && m->zero_ok && vreg_is_null(r))
			return 0;
		return type_error(env, m->regno, "fp");
	}
}

/* The register holds the size of the memory that the register before it points to. */
static int check_size(struct venv *env, const struct call *c, u32 regno, s64 *ret_max)
{
	u8 mem = c->h->arg[regno - 2], arg = c->h->arg[regno - 1];
	const struct vreg *r = vreg_of(env, regno);
	struct mem_arg m = {.regno = regno - 1,
			    .how = mem == EBPF_ARG_OUT || mem == EBPF_ARG_OUT_NULL ? VACCESS_WRITE
										   : VACCESS_READ,
			    .zero_ok = arg == EBPF_ARG_SIZE0,
			    .exact = range_is_const(&r->v)};

	if (r->v.smin < 0) {
		vlog(env, "R%u min value is negative, either use unsigned or 'var &= const'\n",
		     regno);
		return -EACCES;
	}
	if (r->v.umin == 0 && !m.zero_ok) {
		vlog(env, "R%u invalid zero-sized read: u64=[%lld,%lld]\n", regno,
		     (long long)r->v.umin, (long long)r->v.umax);
		return -EACCES;
	}
	if (r->v.umax >= VMAX_VAR_OFF) {
		vlog(env, "R%u unbounded memory access, use 'var &= const' or 'if (var < const)'\n",
		     regno);
		return -EACCES;
	}
	m.size = (u32)r->v.umax;
	*ret_max = (s64)r->v.umax;
	vorigin_demand(env, r->origin | vreg_of(env, regno - 1)->origin);
	return check_mem(env, &m);
}

static int check_string(struct venv *env, u32 regno)
{
	const struct vreg *r = vreg_of(env, regno);
	const struct verifier_map *map = &env->prog->maps[r->map];
	s64 off = r->v.smin;
	int err;

	if (!map->frozen || !(map->map_flags & BPF_F_RDONLY_PROG)) {
		vlog(env, "R%u does not point to a readonly map'\n", regno);
		return -EACCES;
	}
	if (!range_is_const(&r->v)) {
		vlog(env, "R%u is not a constant address'\n", regno);
		return -EACCES;
	}
	err = vaccess_value(env, regno, 0,
			    off >= 0 && off < map->value_size ? map->value_size - (u32)off : 1,
			    VACCESS_READ, false);
	if (err)
		return err;
	if (memchr(map->frozen + off, 0, map->value_size - (u32)off))
		return 0;
	vlog(env, "string is not zero-terminated\n");
	return -EINVAL;
}

/* Memory of a size that does not depend on the program. */
static int check_fixed(struct venv *env, u32 regno, u32 size, enum vaccess how)
{
	return check_mem(env,
			 &(struct mem_arg){.regno = regno, .how = how, .exact = true, .size = size});
}

static int check_arg(struct venv *env, struct call *c, u32 regno)
{
	u8 arg = c->h->arg[regno - 1];
	const struct vreg *r = vreg_of(env, regno);
	int err = vreg_check_read(env, regno);

	if (err)
		return err;
	if (!type_fits(r, arg))
		return type_error(env, regno, expected_type(arg));
	switch (arg) {
	case EBPF_ARG_CTX: return vaccess_ctx_unmoved(env, regno);
	case EBPF_ARG_MAP:
		c->map = r->map;
		c->has_map = true;
		return 0;
	case EBPF_ARG_KEY: return check_fixed(env, regno, env->prog->maps[c->map].key_size, VACCESS_READ);
	case EBPF_ARG_VALUE_NULL:
		if (vreg_is_null(r))
			return 0;
		/* fall through */
	case EBPF_ARG_VALUE: return check_fixed(env, regno, env->prog->maps[c->map].value_size, VACCESS_READ);
	case EBPF_ARG_VALUE_OUT: return check_fixed(env, regno, env->prog->maps[c->map].value_size, VACCESS_WRITE);
	case EBPF_ARG_LONG:
		err = vmem_check_aligned(env, regno, sizeof(u64));
		return err ? err : check_fixed(env, regno, sizeof(u64), VACCESS_WRITE);
	case EBPF_ARG_SIZE:
	case EBPF_ARG_SIZE0: return check_size(env, c, regno, &c->size_max);
	case EBPF_ARG_ALLOC:
		if (!vreg_is_const(r) || r->v.t.value > UINT32_MAX) {
			vlog(env, "R%u is not a known constant'\n", regno);
			return -EACCES;
		}
		vorigin_demand(env, r->origin);
		c->alloc = (u32)r->v.t.value;
		return 0;
	case EBPF_ARG_RECORD:
		if (!range_is_const(&r->v) || r->v.t.value) {
			vlog(env,
			     "R%u must have zero offset when passed to release func or trusted arg "
			     "to kfunc\n",
			     regno);
			return -EINVAL;
		}
		c->release = r->ref;
		return 0;
	case EBPF_ARG_STRING: return check_string(env, regno);
	default: return 0;
	}
}

static int check_map(struct venv *env, const struct call *c)
{
	const struct verifier_map *map = &env->prog->maps[c->map];

	if (!vmap_fits(map->type, c->id)) {
		vlog(env, "cannot pass map_type %u into func %s#%u\n", map->type,
		     helper_name(c->id), c->id);
		return -EINVAL;
	}
	if ((map->map_flags & BPF_F_RDONLY_PROG) &&
	    (c->id == BPF_FUNC_map_update_elem || c->id == BPF_FUNC_map_delete_elem ||
	     c->id == BPF_FUNC_map_push_elem || c->id == BPF_FUNC_map_pop_elem)) {
		vlog(env, "write into map forbidden\n");
		return -EACCES;
	}
	return 0;
}

/* A constant index into an array makes the look-up an address; in bounds, it cannot fail. */
static void note_key(struct venv *env, struct call *c)
{
	const struct verifier_map *map = &env->prog->maps[c->map];
	const struct vreg *key = vreg_of(env, 2);
	bool array = map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
	bool kernel_knows = false;
	u64 origin = 0;
	struct vspan span;
	u32 value;

	span = (struct vspan){
	    .lo = key->v.smin, .hi = key->v.smin + 4, .fixed = range_is_const(&key->v)};
	if (!array || map->key_size != 4 || key->type != VREG_STACK ||
	    !vstack_const_u32(env, key->frame, &span, &value, &kernel_knows, &origin)) {
		vfact_key(env, env->cur.pc, NULL);
		return;
	}
	c->null_free = kernel_knows && value < map->max_entries;
	if (vfact_key(env, env->cur.pc, &value) || c->null_free)
		vorigin_demand(env, origin);
}

static int add_ref(struct venv *env, u32 id)
{
	struct vstate *st = &env->cur;

	if (!st->ref)
		st->ref = malloc(VREF_MAX * sizeof(*st->ref));
	if (!st->ref)
		return -ENOMEM;
	if (st->nrefs == VREF_MAX) {
		vlog(env, "more than %u ring buffer records are reserved at once\n", VREF_MAX);
		return -E2BIG;
	}
	st->ref[st->nrefs++] = (struct vref){.id = id, .insn = st->pc};
	return 0;
}

void vref_release(struct venv *env, struct vstate *st, u32 ref, bool keep_regs)
{
	u32 f, i;

	for (i = 0; i < st->nrefs; i++)
		if (st->ref[i].id == ref)
			st->ref[i--] = st->ref[--st->nrefs];
	if (keep_regs)
		return;
	/* the memory is not ours any more: copies of the pointer become plain numbers */
	for (f = 0; f < st->nframes; f++) {
		struct vframe *fr = st->frame[f];

		for (i = 0; i < 10; i++)
			if (vreg_is_pointer(&fr->r[i]) && fr->r[i].ref == ref)
				vreg_set_unknown(&fr->r[i]);
		for (i = 0; i < fr->nslots; i++)
			if (vreg_is_pointer(&fr->slot[i].spill) && fr->slot[i].spill.ref == ref)
				vreg_set_unknown(&fr->slot[i].spill);
	}
}

static bool returns_length(u32 id)
{
	return id == BPF_FUNC_probe_read_str || id == BPF_FUNC_probe_read_user_str ||
	       id == BPF_FUNC_probe_read_kernel_str || id == BPF_FUNC_get_stack ||
	       id == BPF_FUNC_get_task_stack;
}

static int set_result(struct venv *env, const struct call *c)
{
	struct vreg r0;

	switch (c->h->ret) {
	case EBPF_RET_VOID: vreg_set_none(&r0); break;
	case EBPF_RET_VALUE_NULL:
		vreg_set_pointer(&r0, VREG_VALUE);
		r0.map = c->map;
		r0.maybe_null = !c->null_free;
		r0.id = c->null_free ? 0 : ++env->last_id;
		break;
	case EBPF_RET_RECORD_NULL:
		vreg_set_pointer(&r0, VREG_RECORD);
		r0.size = c->alloc;
		r0.maybe_null = true;
		r0.id = r0.ref = ++env->last_id;
		break;
	default:
		vreg_set_unknown(&r0);
		if (returns_length(c->id)) {
			r0.v.smin = r0.v.swmin = -MAX_ERRNO;
			r0.v.smax = c->size_max;
			r0.v.swmax = (s32)c->size_max;
			range_sync(&r0.v);
		}
	}
	*vreg_of(env, 0) = r0;
	return r0.ref ? add_ref(env, r0.ref) : 0;
}

static int find_helper(struct venv *env, const struct bpf_insn *in, struct call *c)
{
	c->id = (u32)in->imm;
	if (c->id >= VHELPER_COUNT) {
		vlog(env, "invalid func %s#%d\n", helper_name(c->id), in->imm);
		return -EINVAL;
	}
	if (!ebpf_helper_allowed(c->id, env->prog->prog_type)) {
		vlog(env, "program of this type cannot use helper %s#%d\n", helper_name(c->id),
		     in->imm);
		return -EINVAL;
	}
	if (!ebpf_helper_implemented(c->id)) {
		vlog(env, "program of this type cannot use helper %s#%d: notrap does not have it\n",
		     helper_name(c->id), in->imm);
		return -EINVAL;
	}
	c->h = ebpf_helper_get(c->id);
	if (c->h->flags & EBPF_HELPER_GPL && env->prog->not_gpl) {
		vlog(env, "cannot call GPL-restricted function from non-GPL compatible program\n");
		return -EINVAL;
	}
	if (c->h->flags & EBPF_HELPER_SLEEPS && !env->prog->sleepable) {
		vlog(env, "helper call might sleep in a non-sleepable prog\n");
		return -EINVAL;
	}
	return 0;
}

/* What the kernel looks at only when all arguments are right. */
static int check_type_again(struct venv *env, u32 id)
{
	if (id != BPF_FUNC_get_func_ip || env->prog->prog_type == BPF_PROG_TYPE_KPROBE)
		return 0;
	vlog(env, "func bpf_get_func_ip#%u not supported for program type %u\n", id, env->prog->prog_type);
	return -NT_ENOTSUPP;
}

int vhelper_call(struct venv *env, const struct bpf_insn *in)
{
	u32 pc = env->cur.pc, i;
	struct call c = {0};
	int r = find_helper(env, in, &c);

	if (r)
		return r;
	for (i = 1; i <= 5 && c.h->arg[i - 1] != EBPF_ARG_NONE; i++) {
		r = check_arg(env, &c, i);
		if (r)
			return r;
	}
	if (c.has_map) {
		r = check_map(env, &c);
		if (r)
			return r;
		vfact_map(env, pc, c.map);
	}
	r = check_type_again(env, c.id);
	if (r)
		return r;
	if (c.id == BPF_FUNC_map_lookup_elem)
		note_key(env, &c);
	if (c.release)
		vref_release(env, &env->cur, c.release, false);
	for (i = 0; i <= 5; i++)
		vreg_set_none(vreg_of(env, i));
	env->res->helpers[c.id / 32] |= 1u << (c.id % 32);
	env->res->uses_ringbuf |= c.id >= BPF_FUNC_ringbuf_output && c.id <= BPF_FUNC_ringbuf_query;
	return set_result(env, &c);
}
