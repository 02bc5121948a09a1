/* SPDX-License-Identifier: MIT */
/* Dynptrs as arguments and results of helpers. The object itself is in special.c. */
#include <errno.h>

#include "verifier/call.h"
#include "verifier/env.h"

int vdynptr_check(struct venv *env, u32 regno, struct vreg *ret)
{
	const struct vreg *r = vreg_of(env, regno);
	struct vspan span;
	struct vslot *s;

	if (r->type == VREG_DYNPTR_ARG) {
		*ret = *r;
		return 0;
	}
	if (r->type != VREG_STACK) {
		vlog(env, "arg#%u expected pointer to stack or const struct bpf_dynptr\n", regno - 1);
		return -EINVAL;
	}
	if (!range_is_const(&r->v)) {
		vlog(env, "dynptr has to be at a constant offset\n");
		return -EINVAL;
	}
	if (vreg_fixed_off(r) % 8) {
		vlog(env, "cannot pass in dynptr at an offset=%lld\n", (long long)vreg_fixed_off(r));
		return -EINVAL;
	}
	s = vspecial_slot(env, regno, 2);
	if (!s || s->spill.type != VREG_DYNPTR || s->spill.frame) {
		vlog(env, "Expected an initialized dynptr as arg #%u\n", regno - 1);
		return -EINVAL;
	}
	span = (struct vspan){.lo = vreg_fixed_off(r), .hi = vreg_fixed_off(r) + 16, .fixed = true};
	vstack_read_span(env, r->frame, &span);
	*ret = s->spill;
	return 0;
}

int vdynptr_check_new(struct venv *env, u32 regno)
{
	const struct vreg *r = vreg_of(env, regno);
	struct vspan span;

	if (r->type != VREG_STACK) {
		vlog(env, "arg#%u expected pointer to stack or const struct bpf_dynptr\n", regno - 1);
		return -EINVAL;
	}
	if (!range_is_const(&r->v)) {
		vlog(env, "dynptr has to be at a constant offset\n");
		return -EINVAL;
	}
	if (vreg_fixed_off(r) % 8) {
		vlog(env, "cannot pass in dynptr at an offset=%lld\n", (long long)vreg_fixed_off(r));
		return -EINVAL;
	}
	return vstack_span(env, regno, 0, 16, VACCESS_WRITE, &span);
}

static int put_new(struct venv *env, const struct vcall *c)
{
	bool ring = c->id == BPF_FUNC_ringbuf_reserve_dynptr;
	struct vreg d;
	int r;

	vreg_set_pointer(&d, VREG_DYNPTR);
	d.map = ring ? VDYNPTR_RECORD : VDYNPTR_LOCAL;
	d.id = ++env->last_id;
	d.ref = ring ? ++env->last_id : 0;
	r = vspecial_put(env, c->new_dynptr, 2, &d);
	if (!r && ring)
		r = vref_add(env, d.ref);
	return r;
}

int vdynptr_apply(struct venv *env, const struct vcall *c)
{
	switch (c->id) {
	case BPF_FUNC_dynptr_from_mem:
		if (vreg_of(env, 1)->type != VREG_VALUE) {
			vlog(env, "Unsupported reg type %s for bpf_dynptr_from_mem data\n",
			     vreg_type_name(vreg_of(env, 1)));
			return -EACCES;
		}
		return put_new(env, c);
	case BPF_FUNC_ringbuf_reserve_dynptr: return put_new(env, c);
	case BPF_FUNC_ringbuf_submit_dynptr:
	case BPF_FUNC_ringbuf_discard_dynptr: {
		u32 ref = c->dynptr.ref;

		vspecial_drop_dynptrs(&env->cur, ref);
		vref_release(env, &env->cur, ref, false);
		return 0;
	}
	default: return 0;
	}
}
