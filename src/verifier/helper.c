/* SPDX-License-Identifier: MIT */
/* Calls of helpers: arguments against the prototype, map types against the helper, and what R0 is
 * afterwards. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/bpf.h"
#include "base/bits.h"
#include "verifier/call.h"
#include "verifier/env.h"

#define MAX_ERRNO 4095

static const char *helper_name(u32 id)
{
	const char *name = ebpf_helper_name(id);

	return name ? name : "unknown";
}

static int check_map(struct venv *env, const struct vcall *c)
{
	const struct verifier_map *map = &env->prog->maps[c->map];

	if (!vmap_fits(map->type, c->id) && c->id == BPF_FUNC_for_each_map_elem) {
		vlog(env, "callback function not allowed for map\n");
		return -NT_ENOTSUPP;
	}
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
static void note_key(struct venv *env, struct vcall *c)
{
	const struct verifier_map *map = &env->prog->maps[c->map];
	const struct vreg *key = vreg_of(env, 2);
	bool array = map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
	bool kernel_knows = false;
	u64 origin = 0;
	struct vspan span;
	u32 value;

	span = (struct vspan){
	    .lo = key->off + key->v.smin, .hi = key->off + key->v.smin + 4, .fixed = range_is_const(&key->v)};
	if (!array || map->key_size != 4 || key->type != VREG_STACK ||
	    !vstack_const_u32(env, key->frame, &span, &value, &kernel_knows, &origin)) {
		vfact_key(env, env->cur.pc, NULL);
		return;
	}
	c->null_free = kernel_knows && value < map->max_entries;
	if (vfact_key(env, env->cur.pc, &value) || c->null_free)
		vorigin_demand(env, origin);
}

int vref_add(struct venv *env, u32 id)
{
	struct vstate *st = &env->cur;

	if (!st->ref)
		st->ref = malloc(VREF_MAX * sizeof(*st->ref));
	if (!st->ref)
		return -ENOMEM;
	if (st->nrefs == VREF_MAX) {
		vlog(env, "more than %u references are held at once\n", VREF_MAX);
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
			if (vreg_is_pointer(&fr->slot[i].spill) && !vspecial_is(&fr->slot[i].spill) &&
			    fr->slot[i].spill.ref == ref)
				vreg_set_unknown(&fr->slot[i].spill);
	}
}

static bool returns_length(u32 id)
{
	return id == BPF_FUNC_probe_read_str || id == BPF_FUNC_probe_read_user_str ||
	       id == BPF_FUNC_probe_read_kernel_str || id == BPF_FUNC_get_stack ||
	       id == BPF_FUNC_get_task_stack;
}

static int set_result(struct venv *env, const struct vcall *c)
{
	struct vreg r0;
	u32 inner;

	switch (c->h->ret) {
	case EBPF_RET_VOID: vreg_set_none(&r0); break;
	case EBPF_RET_VALUE_NULL:
		inner = env->prog->maps[c->map].inner;
		vreg_set_pointer(&r0, inner ? VREG_MAP : VREG_VALUE);
		r0.map = inner ? inner : c->map;
		r0.maybe_null = !c->null_free;
		r0.id = c->null_free ? 0 : ++env->last_id;
		break;
	case EBPF_RET_RECORD_NULL:
		vreg_set_pointer(&r0, VREG_RECORD);
		r0.size = c->alloc;
		r0.maybe_null = true;
		r0.id = r0.ref = ++env->last_id;
		break;
	case EBPF_RET_SLICE_NULL:
		vreg_set_pointer(&r0, VREG_MEM);
		r0.size = c->alloc;
		r0.map = c->dynptr.id;
		r0.ref = c->dynptr.ref;
		r0.maybe_null = true;
		r0.id = ++env->last_id;
		break;
	case EBPF_RET_TASK: vreg_set_pointer(&r0, VREG_TASK); break;
	case EBPF_RET_REGS: vreg_set_pointer(&r0, VREG_REGS); break;
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
	return c->h->ret == EBPF_RET_RECORD_NULL ? vref_add(env, r0.ref) : 0;
}

static int find_helper(struct venv *env, const struct bpf_insn *in, struct vcall *c)
{
	c->id = (u32)in->imm;
	if (c->id >= VHELPER_COUNT) {
		vlog(env, "invalid func %s#%d\n", helper_name(c->id), in->imm);
		return -EINVAL;
	}
	if (!ebpf_helper_allowed(c->id, env->prog->prog_type) ||
	    (ebpf_helper_writes(c->id) && !env->prog->allow_write)) {
		vlog(env, "program of this type cannot use helper %s#%d\n", helper_name(c->id),
		     in->imm);
		return -EINVAL;
	}
	if (!ebpf_helper_get(c->id) || (!ebpf_helper_implemented(c->id) && !env->prog->all_bodies)) {
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

/* The other program begins with this one's context, so it may read all of it. */
static int check_tail_call(struct venv *env)
{
	int r = vfunc_check_nothing_held(env, "tail_call");

	if (!r && vstate_top(&env->cur)->func && !env->prog->funcs) {
		vlog(env, "tail_call is not allowed in subprogs without BTF\n");
		return -EINVAL;
	}
	env->res->uses_tail_call = true;
	env->func[vstate_top(&env->cur)->func].tail_calls = true;
	return r;
}

int vhelper_call(struct venv *env, const struct bpf_insn *in)
{
	u32 pc = env->cur.pc, i;
	struct vcall c = {0};
	int r = find_helper(env, in, &c);

	if (r)
		return r;
	for (i = 1; i <= 5 && c.h->arg[i - 1] != EBPF_ARG_NONE; i++) {
		r = vhelper_check_arg(env, &c, i);
		if (r)
			return r;
	}
	if (c.has_map) {
		r = check_map(env, &c);
		if (r)
			return r;
		if (c.map < env->prog->nmaps)
			vfact_map(env, pc, c.map);
		else
			vfact_no_map(env, pc);
	}
	r = check_type_again(env, c.id);
	if (r)
		return r;
	if (c.id == BPF_FUNC_map_lookup_elem)
		note_key(env, &c);
	if (c.id == BPF_FUNC_tail_call) {
		r = check_tail_call(env);
		if (r)
			return r;
	}
	if (vcallback_is(c.id)) {
		r = vcallback_enter(env, &c);
		if (r)
			return r;
		vcallback_done(env);
	}
	r = vdynptr_apply(env, &c);
	if (r)
		return r;
	if (c.release)
		vref_release(env, &env->cur, c.release, false);
	if (c.h->flags & EBPF_HELPER_MOVES)
		vpacket_forget(&env->cur);
	for (i = 0; i <= 5; i++)
		vreg_set_none(vreg_of(env, i));
	/* A stack walk begins with these. */
	if (c.id == BPF_FUNC_get_stack || c.id == BPF_FUNC_get_stackid || c.id == BPF_FUNC_get_task_stack)
		env->res->ctx_read |= 1ull << NT_RIP | 1ull << NT_RSP | 1ull << NT_RBP;
	if (c.id == BPF_FUNC_task_pt_regs)
		env->res->ctx_read = ~0ull;
	env->res->helpers[c.id / 32] |= 1u << (c.id % 32);
	env->res->uses_ringbuf |= c.id >= BPF_FUNC_ringbuf_output && c.id <= BPF_FUNC_ringbuf_query;
	return set_result(env, &c);
}
