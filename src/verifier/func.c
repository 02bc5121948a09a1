/* SPDX-License-Identifier: MIT */
/* Calls of the program's own functions: the callee is walked anew from every call, with what is
 * known there. */
#include <errno.h>

#include "verifier/call.h"
#include "verifier/env.h"

int vfunc_call(struct venv *env, const struct bpf_insn *in)
{
	u32 target = (u32)ebpf_insn_target(in, env->cur.pc);
	struct vframe *caller = vstate_top(&env->cur), *callee;
	u32 i;
	int r = vstate_push_frame(&env->cur, vcfg_func_at(env, target), env->cur.pc, ++env->last_id);

	if (r == -E2BIG)
		vlog(env, "the call stack of %u frames is too deep\n", env->cur.nframes + 1);
	if (r)
		return r;
	callee = vstate_top(&env->cur);
	for (i = 1; i <= 5; i++)
		callee->r[i] = caller->r[i];
	for (i = 0; i <= 5; i++)
		vreg_set_none(&caller->r[i]);
	env->cur.pc = target;
	return 0;
}

static int leave_main(struct venv *env)
{
	const struct vreg *r0 = vreg_of(env, 0);
	int r = vreg_check_read(env, 0);

	if (r)
		return r;
	if (env->prog->prog_type != BPF_PROG_TYPE_KPROBE ||
	    env->prog->expected_attach != 57 /* UPROBE_SESSION */)
		return 0;
	if (!vreg_is_scalar(r0)) {
		vlog(env, "At program exit the register R0 is not a known value (%s)\n",
		     vreg_type_name(r0));
		return -EINVAL;
	}
	vorigin_demand(env, r0->origin);
	if (r0->v.smin >= 0 && r0->v.smax <= 1)
		return 0;
	vlog_bad_return(env, "program exit", &r0->v, 1);
	return -EINVAL;
}

/* Nothing may be left open at the program's end. */
int vfunc_check_nothing_held(struct venv *env, const char *who)
{
	const struct vstate *st = &env->cur;
	const char *what = NULL;
	u32 i;

	for (i = 0; i < st->nrefs; i++)
		vlog(env, "Unreleased reference id=%u alloc_insn=%u\n", st->ref[i].id, st->ref[i].insn);
	if (st->nrefs) {
		vlog(env, "%s would lead to reference leak\n", who);
		return -EINVAL;
	}
	if (st->preempt)
		what = "bpf_preempt_disable-ed";
	else if (st->rcu)
		what = "bpf_rcu_read_lock-ed";
	if (!what)
		return 0;
	vlog(env, "%s cannot be used inside %s region\n", who, what);
	return -EINVAL;
}

int vfunc_exit(struct venv *env, bool *ret_done)
{
	struct vreg r0;
	u32 callsite;
	int r;

	if (env->cur.nframes == 1) {
		r = vfunc_check_nothing_held(env, "BPF_EXIT instruction in main prog");
		if (!r)
			r = leave_main(env);
		if (!r)
			*ret_done = true;
		return r;
	}
	r0 = *vreg_of(env, 0);
	if (r0.type == VREG_STACK) {
		/* the memory is gone when the callee is */
		vlog(env, "cannot return stack pointer to the caller\n");
		return -EINVAL;
	}
	*ret_done = false;
	if (vstate_top(&env->cur)->callback)
		return vcallback_return(env);
	callsite = vstate_top(&env->cur)->callsite;
	vstate_pop_frame(&env->cur);
	*vreg_of(env, 0) = r0;
	env->cur.pc = callsite + 1;
	return 0;
}
