/* SPDX-License-Identifier: MIT */
/*
 * The walk: from the first instruction along every path to its exit, one instruction at a time on
 * one abstract state. At a branch that can go both ways one way is walked on and the other put
 * aside; a path ends at the exit or where a checkpoint has been proven for its state already. The
 * program is safe when nothing is left to walk.
 */
#include "verifier/verifier.h"

#include <errno.h>
#include <stdlib.h>

#include "verifier/env.h"

static int exec_call(struct venv *env, const struct bpf_insn *in)
{
	int r;

	if (in->src_reg == BPF_PSEUDO_CALL)
		return vfunc_call(env, in);
	if (in->src_reg == BPF_PSEUDO_KFUNC_CALL) {
		r = vkfunc_call(env, in);
	} else {
		r = vhelper_call(env, in);
	}
	if (!r)
		env->cur.pc++;
	return r;
}

static int exec_jump(struct venv *env, const struct bpf_insn *in, bool *ret_done)
{
	env->jump_count++;
	switch (BPF_OP(in->code)) {
	case BPF_CALL: return exec_call(env, in);
	case BPF_EXIT: return vfunc_exit(env, ret_done);
	default: return vbranch_exec(env, in);
	}
}

static int exec_insn(struct venv *env, const struct bpf_insn *in, bool *ret_done)
{
	int r = vinsn_check(env, in);

	if (r)
		return r;
	switch (BPF_CLASS(in->code)) {
	case BPF_JMP:
	case BPF_JMP32: return exec_jump(env, in, ret_done);
	case BPF_ALU:
	case BPF_ALU64: r = valu_exec(env, in); break;
	case BPF_LD:
		if (ebpf_insn_is_packet_load(in)) {
			r = vpacket_load(env, in);
			break;
		}
		r = valu_ld64(env, in);
		env->cur.pc++;
		break;
	default: r = vmem_exec(env, in);
	}
	env->cur.pc++;
	return r;
}

/* One instruction; *ret_done: the path ends here. */
static int step(struct venv *env, bool *ret_done)
{
	u32 pc = env->cur.pc;
	const struct bpf_insn *in = &env->insns[pc];
	int r;

	if (++env->insn_count > EBPF_MAX_INSNS) {
		vlog(env, "BPF program is too large. Processed %u insn\n", env->insn_count);
		return -E2BIG;
	}
	if (env->flag[pc] & VINSN_CHECKPOINT) {
		r = vprune_visit(env);
		if (r) {
			*ret_done = true;
			return r < 0 ? r : 0;
		}
	}
	if (env->prog->observe)
		env->prog->observe(env->prog->observe_arg, pc, &env->cur);
	vlog_insn(env, pc);
	env->fact[pc].seen = true;
	r = exec_insn(env, in, ret_done);
	if (r)
		return r;
	env->cur.prev_pc = pc;
	vlog_insn_done(env, in);
	return 0;
}

/* Takes up the path that was put aside last; false: none is left. */
static bool next_path(struct venv *env)
{
	struct vpending *p = env->pending;

	vprune_path_done(env, env->cur.parent);
	vstate_deinit(&env->cur);
	if (!p)
		return false;
	env->pending = p->next;
	env->npending--;
	env->cur = p->st;
	vlog_cut(env, p->log_len);
	free(p);
	vlog_state(env, &env->cur);
	return true;
}

static int walk(struct venv *env)
{
	bool more = true;
	int r = vstate_init(&env->cur);

	if (r)
		return r;
	vlog_state(env, &env->cur);
	while (more) {
		bool done = false;

		while (!r && !done)
			r = step(env, &done);
		if (r)
			return r;
		more = next_path(env);
	}
	vlog_cut(env, 0);
	return 0;
}

static int venv_init(struct venv *env)
{
	u32 n = env->n;

	env->flag = calloc(n, sizeof(*env->flag));
	env->live = calloc(n, sizeof(*env->live));
	env->known = calloc(n, sizeof(*env->known));
	env->fact = calloc(n, sizeof(*env->fact));
	env->explored = calloc(n, sizeof(*env->explored));
	return env->flag && env->live && env->known && env->fact && env->explored ? 0 : -ENOMEM;
}

static void venv_deinit(struct venv *env)
{
	while (env->pending) {
		struct vpending *p = env->pending;

		env->pending = p->next;
		vstate_deinit(&p->st);
		free(p);
	}
	vstate_deinit(&env->cur);
	vprune_deinit(env);
	free(env->flag);
	free(env->live);
	free(env->known);
	free(env->fact);
	free(env->explored);
	free(env->func);
}

static int check(struct venv *env)
{
	int r = venv_init(env);

	if (!r)
		r = vcfg_check(env);
	if (r)
		return r;
	vlive_compute(env);
	r = walk(env);
	return r ? r : vcfg_stack_depth(env);
}

int verifier_check(const struct verifier_prog *prog, struct verifier_log *log,
		   struct verifier_result *ret)
{
	struct verifier_result res = {0};
	struct venv env = {
	    .prog = prog, .insns = prog->insns, .n = prog->n, .log = log, .res = &res};
	int r;

	if (!prog->n || prog->n > EBPF_MAX_INSNS)
		return -E2BIG;
	r = check(&env);
	vlog_stats(&env);
	if (!r) {
		res.insn = env.fact;
		env.fact = NULL;
		*ret = res;
	}
	venv_deinit(&env);
	return r;
}

void verifier_result_deinit(struct verifier_result *r)
{
	free(r->insn);
	r->insn = NULL;
}
