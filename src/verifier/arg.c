/* SPDX-License-Identifier: MIT */
/* Arguments of helpers against their prototypes. Follows check_func_arg() of the kernel. */
#include <errno.h>
#include <string.h>

#include "verifier/call.h"
#include "verifier/env.h"

#define MEM_TYPES "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_"

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
	case EBPF_ARG_FUNC: return r->type == VREG_FUNC;
	case EBPF_ARG_FUNC_DATA: return r->type == VREG_STACK || vreg_is_null(r);
	case EBPF_ARG_DYNPTR:
	case EBPF_ARG_DYNPTR_NEW:
	case EBPF_ARG_DYNPTR_RECORD: return r->type == VREG_STACK || r->type == VREG_DYNPTR_ARG;
	case EBPF_ARG_TASK: return r->type == VREG_TASK;
	case EBPF_ARG_TASK_NULL: return r->type == VREG_TASK || vreg_is_null(r);
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
		       r->type == VREG_MEM || r->type == VREG_KEY || vpacket_is(r);
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
	case VREG_KEY:
	case VREG_MEM: return vaccess_memory(env, m->regno, 0, m->size, m->how, m->zero_ok);
	case VREG_PACKET:
	case VREG_PACKET_META: return vpacket_access(env, m->regno, 0, m->size, m->zero_ok);
	case VREG_STACK:
		if (!m->size && !m->zero_ok) {
			vlog(env, "invalid zero-sized read\n");
			return -EACCES;
		}
		err = vstack_span(env, m->regno, 0, m->size, m->how, &span);
		if (err)
			return err;
		span.fixed = span.fixed && m->exact;
		if (m->how == VACCESS_READ && vstack_has_special(env, frame, &span)) {
			vlog(env, "invalid read from stack R%u off %lld+0 size %u\n", m->regno, (long long)span.lo,
			     m->size);
			return -EACCES;
		}
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
int vhelper_check_size(struct venv *env, u32 regno, enum vaccess how, bool zero_ok, s64 *ret_max)
{
	const struct vreg *r = vreg_of(env, regno);
	struct mem_arg m = {
	    .regno = regno - 1, .how = how, .zero_ok = zero_ok, .exact = range_is_const(&r->v)};

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

static bool arg_is_out(u8 arg)
{
	return arg == EBPF_ARG_OUT || arg == EBPF_ARG_OUT_NULL;
}

/* A dynptr of a ring buffer record that is given away. */
static int check_record_dynptr(struct venv *env, struct vcall *c, u32 regno)
{
	int err = vdynptr_check(env, regno, &c->dynptr);

	if (err)
		return err;
	if (c->dynptr.map == VDYNPTR_RECORD)
		return 0;
	vlog(env, "Expected a dynptr of type ringbuf as arg #%u\n", regno - 1);
	return -EINVAL;
}

static int check_string(struct venv *env, u32 regno)
{
	const struct vreg *r = vreg_of(env, regno);
	const struct verifier_map *map = &env->prog->maps[r->map];
	s64 off = vreg_fixed_off(r);
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

/* These get the context to find what belongs to this run; they do not look at registers. */
static bool takes_only_run(u32 id)
{
	return id == BPF_FUNC_get_func_ip || id == BPF_FUNC_get_attach_cookie || id == BPF_FUNC_perf_event_output;
}

int vhelper_check_arg(struct venv *env, struct vcall *c, u32 regno)
{
	u8 arg = c->h->arg[regno - 1];
	const struct vreg *r = vreg_of(env, regno);
	int err = vreg_check_read(env, regno);

	if (err)
		return err;
	if (!type_fits(r, arg))
		return type_error(env, regno, expected_type(arg));
	if (vpacket_is(r) && arg != EBPF_ARG_ANY && !(c->h->flags & EBPF_HELPER_PACKET)) {
		vlog(env, "helper access to the packet is not allowed\n");
		return -EACCES;
	}
	if (!takes_only_run(c->id))
		vfact_ctx_escapes(env, r);
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
	case EBPF_ARG_SIZE0:
		return vhelper_check_size(env, regno,
					  arg_is_out(c->h->arg[regno - 2]) ? VACCESS_WRITE : VACCESS_READ,
					  arg == EBPF_ARG_SIZE0, &c->size_max);
	case EBPF_ARG_FUNC: c->func = r->map; return 0;
	case EBPF_ARG_DYNPTR: return vdynptr_check(env, regno, &c->dynptr);
	case EBPF_ARG_DYNPTR_RECORD: return check_record_dynptr(env, c, regno);
	case EBPF_ARG_DYNPTR_NEW: c->new_dynptr = regno; return vdynptr_check_new(env, regno);
	case EBPF_ARG_ALLOC:
		/* of a larger number the kernel, too, takes the low half; no such memory is ever given */
		if (!vreg_is_const(r)) {
			vlog(env, "R%u is not a known constant'\n", regno);
			return -EACCES;
		}
		vorigin_demand(env, r->origin);
		c->alloc = (u32)r->v.t.value;
		return 0;
	case EBPF_ARG_RECORD:
		if (!range_is_const(&r->v) || vreg_fixed_off(r)) {
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
