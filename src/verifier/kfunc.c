/* SPDX-License-Identifier: MIT */
/* Calls of kernel functions (ebpf/kfuncs.h): who may call which, arguments, result. Follows
 * check_kfunc_call() of the kernel. */
#include "ebpf/kfuncs.h"

#include <errno.h>

#include "verifier/call.h"
#include "verifier/env.h"

#define ATTACH_UPROBE_SESSION 57u

struct kcall {
	u32 id;
	const struct ebpf_kfunc_proto *p;
	struct vslot *iter;    /* first slot of the iterator, NULL = none */
	struct vreg dynptr;    /* of the argument, valid if type is set */
	u32 new_dynptr;	       /* register that points to its place, 0 = none */
	u64 slice;	       /* EBPF_KARG_SIZE_CONST */
};

static const char *kfunc_name(const struct venv *env, u32 id)
{
	const struct ebpf_kfunc_proto *p = ebpf_kfunc_get(id);

	if (p)
		return p->name;
	if (id >= EBPF_KFUNC_N && id - EBPF_KFUNC_N < env->prog->nunknown_kfuncs)
		return env->prog->unknown_kfuncs[id - EBPF_KFUNC_N];
	return "unknown";
}

static bool is_offered(const struct venv *env, const struct kcall *c)
{
	u32 type = env->prog->prog_type;

	if (!c->p || (!ebpf_kfunc_implemented(c->id) && !env->prog->all_bodies))
		return false;
	if (c->p->flags & EBPF_KFUNC_SESSION)
		return type == BPF_PROG_TYPE_KPROBE && env->prog->expected_attach == ATTACH_UPROBE_SESSION;
	/* the others of the list are there for all types of programs */
	return type == BPF_PROG_TYPE_KPROBE || type == BPF_PROG_TYPE_SYSCALL || type == BPF_PROG_TYPE_XDP ||
	       type == BPF_PROG_TYPE_SOCKET_FILTER;
}

static int check_callable(struct venv *env, const struct kcall *c)
{
	if (!c->id) {
		vlog(env, "invalid kernel function call not eliminated in verifier pass\n");
		return -EINVAL;
	}
	if (!is_offered(env, c)) {
		vlog(env, "calling kernel function %s is not allowed\n", kfunc_name(env, c->id));
		return -EACCES;
	}
	if (c->p->flags & EBPF_KFUNC_SLEEPS && !env->prog->sleepable) {
		vlog(env, "program must be sleepable to call sleepable kfunc %s\n", c->p->name);
		return -EACCES;
	}
	return 0;
}

static const char *iter_name(const struct kcall *c)
{
	return c->p->iter == 8 ? "num" : "bits";
}

static int check_iter(struct venv *env, struct kcall *c, u32 regno, bool fresh)
{
	const struct vreg *r = vreg_of(env, regno);
	struct vslot *s = vspecial_slot(env, regno, c->p->iter / 8);
	bool is_one = s && s->spill.type == VREG_ITER && !s->spill.frame && s->spill.map == c->p->iter;
	struct vspan span;
	int err;

	if (r->type != VREG_STACK) {
		vlog(env, "arg#%u expected pointer to an iterator on stack\n", regno - 1);
		return -EINVAL;
	}
	err = vstack_span(env, regno, 0, c->p->iter, VACCESS_WRITE, &span);
	if (err)
		return err;
	if (fresh && s && s->spill.type == VREG_ITER) {
		vlog(env, "expected uninitialized iter_%s as arg #%u\n", iter_name(c), regno - 1);
		return -EINVAL;
	}
	if (!fresh && !is_one) {
		vlog(env, "expected an initialized iter_%s as arg #%u\n", iter_name(c), regno - 1);
		return -EINVAL;
	}
	if (!range_is_const(&r->v) || vreg_fixed_off(r) % 8) {
		vlog(env, "cannot pass in iter at an offset=%lld\n", (long long)vreg_fixed_off(r));
		return -EINVAL;
	}
	vstack_read_span(env, r->frame, &span);
	c->iter = s;
	return 0;
}

static int check_scalar(struct venv *env, u32 regno, bool constant)
{
	const struct vreg *r = vreg_of(env, regno);

	if (!vreg_is_scalar(r)) {
		vlog(env, "R%u is not a scalar\n", regno);
		return -EINVAL;
	}
	if (!constant)
		return 0;
	if (!vreg_is_const(r)) {
		vlog(env, "R%u must be a known constant\n", regno);
		return -EINVAL;
	}
	vorigin_demand(env, r->origin);
	return 0;
}

/* The register's size argument; the memory is in the register before. */
static int check_sized(struct venv *env, struct kcall *c, u32 regno)
{
	bool constant = c->p->arg[regno - 1] == EBPF_KARG_SIZE_CONST;
	int err = check_scalar(env, regno, constant);
	s64 max;

	if (err)
		return err;
	if (constant)
		c->slice = vreg_of(env, regno)->v.t.value;
	if (constant && vreg_is_null(vreg_of(env, regno - 1)))
		return 0;
	err = vhelper_check_size(env, regno, c->id == EBPF_KFUNC_DYNPTR_SLICE ? VACCESS_READ : VACCESS_WRITE, false,
				 &max);
	if (err)
		vlog(env, "arg#%u arg#%u memory, len pair leads to invalid memory access\n", regno - 2, regno - 1);
	return err;
}

static int check_arg(struct venv *env, struct kcall *c, u32 regno)
{
	const struct vreg *r = vreg_of(env, regno);
	u8 arg = c->p->arg[regno - 1];
	int err = arg == EBPF_KARG_ANY ? 0 : vreg_check_read(env, regno);

	if (err)
		return err;
	vfact_ctx_escapes(env, r);
	switch (arg) {
	case EBPF_KARG_ANY: /* not even looked at: it may be undefined */
	case EBPF_KARG_OUT:
	case EBPF_KARG_BUFFER_NULL: return 0;
	case EBPF_KARG_SCALAR: return check_scalar(env, regno, false);
	case EBPF_KARG_CONST: return check_scalar(env, regno, true);
	case EBPF_KARG_CTX:
		if (r->type == VREG_CTX)
			return vaccess_ctx_unmoved(env, regno);
		vlog(env, "arg#%u expected pointer to ctx, but got %s\n", regno - 1, vreg_type_name(r));
		return -EINVAL;
	case EBPF_KARG_MAP:
		if (r->type == VREG_MAP && !r->maybe_null)
			return 0;
		vlog(env, "arg#%u pointer type STRUCT bpf_map must point to scalar, or struct with scalar\n",
		     regno - 1);
		return -EINVAL;
	case EBPF_KARG_ITER_NEW: return check_iter(env, c, regno, true);
	case EBPF_KARG_ITER: return check_iter(env, c, regno, false);
	case EBPF_KARG_DYNPTR: {
		struct vreg d;

		err = vdynptr_check(env, regno, &d);
		if (!err && !c->dynptr.type)
			c->dynptr = d;
		return err;
	}
	case EBPF_KARG_DYNPTR_NEW:
		c->new_dynptr = regno;
		return vdynptr_check_new(env, regno);
	default: return check_sized(env, c, regno);
	}
}

/* The iterator gives its next element, or NULL at the end. The end is walked first. */
static int iter_next(struct venv *env, struct kcall *c)
{
	u32 frame = vreg_of(env, 1)->frame, index = (u32)(c->iter - env->cur.frame[frame]->slot);
	struct vstate *other;
	struct vreg *element;
	int r;

	if (c->iter->spill.size) {
		/* drained: it stays so */
		vreg_set_const(vreg_of(env, 0), 0);
		return 0;
	}
	r = venv_push(env, &other);
	if (r)
		return r;
	other->pc = env->cur.pc + 1;
	other->frame[frame]->slot[index].spill.delta++;
	vloop_widen(env->cur.parent ? env->cur.parent->st.parent : NULL, env->cur.pc, other);
	element = &vstate_top(other)->r[0];
	vreg_set_pointer(element, VREG_MEM);
	element->size = 4;
	element->rdonly = true;
	for (u32 i = 1; i <= 5; i++)
		vreg_set_none(&vstate_top(other)->r[i]);
	for (u32 i = 0; i < c->p->iter / 8u; i++)
		env->cur.frame[frame]->slot[index - i].spill.size = 1;
	vreg_set_const(vreg_of(env, 0), 0);
	return 0;
}

static int iter_new(struct venv *env, struct kcall *c)
{
	struct vreg it;
	int r;

	vreg_set_pointer(&it, VREG_ITER);
	it.map = c->p->iter;
	it.ref = ++env->last_id;
	r = vspecial_put(env, 1, c->p->iter / 8, &it);
	return r ? r : vref_add(env, it.ref);
}

static int new_dynptr(struct venv *env, struct kcall *c)
{
	struct vreg d = c->dynptr;

	d.type = VREG_DYNPTR;
	d.id = ++env->last_id;
	return vspecial_put(env, c->new_dynptr, 2, &d);
}

static void set_slice(struct venv *env, const struct kcall *c, struct vreg *ret)
{
	vreg_set_pointer(ret, VREG_MEM);
	ret->size = (u32)c->slice;
	ret->map = c->dynptr.id;
	ret->ref = c->dynptr.ref;
	ret->rdonly = c->id == EBPF_KFUNC_DYNPTR_SLICE;
	ret->maybe_null = true;
	ret->id = ++env->last_id;
}

static void set_result(struct venv *env, const struct kcall *c, struct vreg *ret)
{
	switch (c->p->ret) {
	case EBPF_KRET_VOID: vreg_set_none(ret); break;
	case EBPF_KRET_WORD:
		vreg_set_pointer(ret, VREG_MEM);
		ret->size = sizeof(u64);
		break;
	case EBPF_KRET_SLICE: set_slice(env, c, ret); break;
	case EBPF_KRET_REGS: vreg_set_pointer(ret, VREG_REGS); break;
	case EBPF_KRET_OBJECT: vreg_set_pointer(ret, VREG_OBJECT); break;
	default: vreg_set_unknown(ret);
	}
}

static int count_region(struct venv *env, u32 *count, bool enter, const char *unmatched, const char *name)
{
	if (enter) {
		++*count;
		return 0;
	}
	if (*count) {
		--*count;
		return 0;
	}
	vlog(env, "unmatched %s (kernel function %s)\n", unmatched, name);
	return -EINVAL;
}

/* What a call does to the state besides its result. */
static int apply(struct venv *env, struct kcall *c)
{
	switch (c->id) {
	case EBPF_KFUNC_RCU_READ_LOCK:
	case EBPF_KFUNC_RCU_READ_UNLOCK:
		return count_region(env, &env->cur.rcu, c->id == EBPF_KFUNC_RCU_READ_LOCK, "rcu read unlock",
				    c->p->name);
	case EBPF_KFUNC_PREEMPT_DISABLE:
	case EBPF_KFUNC_PREEMPT_ENABLE:
		return count_region(env, &env->cur.preempt, c->id == EBPF_KFUNC_PREEMPT_DISABLE,
				    "attempt to enable preemption", c->p->name);
	case EBPF_KFUNC_ITER_NUM_NEW:
	case EBPF_KFUNC_ITER_BITS_NEW: return iter_new(env, c);
	case EBPF_KFUNC_ITER_NUM_NEXT:
	case EBPF_KFUNC_ITER_BITS_NEXT: return iter_next(env, c);
	case EBPF_KFUNC_ITER_NUM_DESTROY:
	case EBPF_KFUNC_ITER_BITS_DESTROY: {
		u32 ref = c->iter->spill.ref;

		vspecial_drop_iter(c->iter, c->p->iter / 8u);
		vref_release(env, &env->cur, ref, true);
		return 0;
	}
	case EBPF_KFUNC_DYNPTR_CLONE: return new_dynptr(env, c);
	default: return 0;
	}
}

int vkfunc_call(struct venv *env, const struct bpf_insn *in)
{
	struct kcall c = {.id = (u32)in->imm, .p = ebpf_kfunc_get((u32)in->imm)};
	struct vreg r0;
	u32 i;
	int r = check_callable(env, &c);

	for (i = 1; !r && i <= 5 && c.p->arg[i - 1] != EBPF_KARG_NONE; i++)
		r = check_arg(env, &c, i);
	if (!r)
		r = apply(env, &c);
	if (r)
		return r;
	set_result(env, &c, &r0);
	if (c.p->ret == EBPF_KRET_NEXT)
		r0 = *vreg_of(env, 0);
	for (i = 0; i <= 5; i++)
		vreg_set_none(vreg_of(env, i));
	*vreg_of(env, 0) = r0;
	return 0;
}
