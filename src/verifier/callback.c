/* SPDX-License-Identifier: MIT */
/*
 * Helpers that call a function of the program. The call is walked as a loop (loop.c): behind it, as
 * if the function had not run, and into the function, from where the walk comes back to the call
 * with what the function left behind in its caller's stack.
 */
#include <errno.h>

#include "abi/bpf.h"
#include "verifier/call.h"
#include "verifier/env.h"


bool vcallback_is(u32 helper)
{
	return helper == BPF_FUNC_loop || helper == BPF_FUNC_for_each_map_elem ||
	       helper == NT_BPF_FUNC_USER_RINGBUF_DRAIN;
}

static bool map_is_walked(u32 type)
{
	switch (type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY: return true;
	default: return false;
	}
}

static int set_args(struct venv *env, const struct vcall *c, struct vreg *r)
{
	u32 data = c->id == BPF_FUNC_for_each_map_elem ? 4 : 2;

	switch (c->id) {
	case BPF_FUNC_for_each_map_elem:
		if (!map_is_walked(env->prog->maps[c->map].type)) {
			vlog(env, "callback function not allowed for map\n");
			return -NT_ENOTSUPP;
		}
		r[1] = *vreg_of(env, 1);
		vreg_set_pointer(&r[2], VREG_KEY);
		vreg_set_pointer(&r[3], VREG_VALUE);
		r[2].map = r[3].map = c->map;
		break;
	case BPF_FUNC_loop: vreg_set_unknown(&r[1]); break;
	default:
		vreg_set_pointer(&r[1], VREG_DYNPTR_ARG);
		r[1].map = VDYNPTR_LOCAL;
		r[1].id = ++env->last_id;
	}
	r[data] = *vreg_of(env, 3);
	return 0;
}

int vcallback_enter(struct venv *env, const struct vcall *c)
{
	const struct vreg *rounds = vreg_of(env, 1);
	struct vframe *caller = vstate_top(&env->cur);
	struct vreg arg[11];
	struct vstate *other;
	u32 i;
	int r;

	if (c->id == BPF_FUNC_loop) {
		vorigin_demand(env, rounds->origin);
		if (caller->loop_depth >= rounds->v.umax)
			return 0;
	}
	for (i = 0; i < 11; i++)
		vreg_set_none(&arg[i]);
	r = set_args(env, c, arg);
	if (!r)
		r = venv_push(env, &other);
	if (r)
		return r;
	vstate_top(other)->loop_depth++;
	r = vstate_push_frame(other, vcfg_func_at(env, c->func), env->cur.pc, ++env->last_id);
	if (r == -E2BIG)
		vlog(env, "the call stack of %u frames is too deep\n", other->nframes + 1);
	if (r)
		return r;
	for (i = 1; i <= 5; i++)
		vstate_top(other)->r[i] = arg[i];
	vstate_top(other)->callback = true;
	other->pc = c->func;
	return 0;
}

void vcallback_done(struct venv *env)
{
	struct vframe *f = vstate_top(&env->cur);

	f->loop = 0;
	f->loop_depth = 0;
}

int vcallback_return(struct venv *env)
{
	const struct vreg *r0 = vreg_of(env, 0);
	u32 callsite = vstate_top(&env->cur)->callsite;

	if (!vreg_is_scalar(r0)) {
		vlog(env, "R0 not a scalar value\n");
		return -EACCES;
	}
	vorigin_demand(env, r0->origin);
	if (r0->v.smin < 0 || r0->v.smax > 1) {
		vlog_bad_return(env, "callback return", &r0->v, 1);
		return -EINVAL;
	}
	vstate_pop_frame(&env->cur);
	env->cur.pc = callsite;
	vloop_widen(env->cur.parent, callsite, &env->cur);
	return 0;
}
