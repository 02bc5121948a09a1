/* SPDX-License-Identifier: MIT */
/*
 * The program as a graph. Functions start at instruction 0 and at every target of a bpf-to-bpf call
 * and reach to the next start; jumps stay inside; control leaves a function only by exit. Every
 * instruction must be reachable. Follows check_subprogs(), check_cfg() and check_max_stack_depth()
 * of the kernel in what is refused.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "ebpf/kfuncs.h"
#include "verifier/call.h"
#include "verifier/env.h"

u32 vcfg_func_at(const struct venv *env, u32 insn)
{
	u32 lo = 0, hi = env->nfuncs - 1;

	/* functions are sorted by start */
	while (lo < hi) {
		u32 mid = (lo + hi + 1) / 2;

		if (env->func[mid].start <= insn)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

static int compare_funcs(const void *a, const void *b)
{
	u32 x = ((const struct vfunc *)a)->start, y = ((const struct vfunc *)b)->start;

	return x < y ? -1 : x > y;
}

/* A call of a function of the program, or its address. */
static bool names_function(const struct venv *env, u32 i)
{
	const struct bpf_insn *in = &env->insns[i];

	return !(env->flag[i] & VINSN_SECOND) && (ebpf_insn_is_subprog_call(in) || ebpf_insn_is_func_load(in));
}

static int find_functions(struct venv *env)
{
	u32 i, n = 1, unique;

	for (i = 0; i < env->n; i++)
		n += names_function(env, i);
	env->func = calloc(n, sizeof(*env->func));
	if (!env->func)
		return -ENOMEM;
	env->nfuncs = 1;
	for (i = 0; i < env->n; i++) {
		s64 target;

		if (!names_function(env, i))
			continue;
		target = ebpf_insn_target(&env->insns[i], i);
		if (target < 0 || target >= env->n) {
			vlog(env, "call to invalid destination\n");
			return -EINVAL;
		}
		env->func[env->nfuncs++].start = (u32)target;
	}
	qsort(env->func, env->nfuncs, sizeof(*env->func), compare_funcs);
	for (i = 1, unique = 1; i < env->nfuncs; i++)
		if (env->func[i].start != env->func[unique - 1].start)
			env->func[unique++] = env->func[i];
	env->nfuncs = unique;
	for (i = 0; i < unique; i++)
		env->func[i].end = i + 1 < unique ? env->func[i + 1].start : env->n;
	return 0;
}

static int check_ld64(struct venv *env, u32 i)
{
	const struct bpf_insn *in = &env->insns[i];
	const struct verifier_map *map;

	if (i + 1 == env->n || in[1].code || in[1].dst_reg || in[1].src_reg || in[1].off) {
		vlog(env, "invalid bpf_ld_imm64 insn\n");
		return -EINVAL;
	}
	if (in->src_reg == 0 || in->src_reg == BPF_PSEUDO_FUNC)
		return 0;
	if ((in->src_reg != BPF_PSEUDO_MAP_FD && in->src_reg != BPF_PSEUDO_MAP_VALUE) ||
	    (in->src_reg == BPF_PSEUDO_MAP_FD && in[1].imm)) {
		vlog(env, "unrecognized bpf_ld_imm64 insn\n");
		return -EINVAL;
	}
	if ((u32)in->imm >= env->prog->nmaps) {
		vlog(env, "fd %d is not pointing to valid bpf_map\n", in->imm);
		return -EINVAL;
	}
	map = &env->prog->maps[(u32)in->imm];
	if (in->src_reg == BPF_PSEUDO_MAP_FD)
		return 0;
	if ((u32)in[1].imm >= VMAX_VAR_OFF) {
		vlog(env, "direct value offset of %u is not allowed\n", (u32)in[1].imm);
		return -EINVAL;
	}
	if (map->type != BPF_MAP_TYPE_ARRAY) {
		vlog(env, "no direct value access support for this map type\n");
		return -EINVAL;
	}
	if (map->max_entries != 1 || (u32)in[1].imm >= map->value_size) {
		vlog(env, "invalid access to map value pointer, value_size=%u off=%u\n",
		     map->value_size, (u32)in[1].imm);
		return map->max_entries != 1 ? -NT_ENOTSUPP : -EINVAL;
	}
	return 0;
}

/* Opcodes of the whole program, reached or not; second halves must be all zero, so their code is
 * never looked at. */
static int check_opcodes(struct venv *env)
{
	u32 i;
	int r;

	for (i = 0; i < env->n; i++) {
		const struct bpf_insn *in = &env->insns[i];

		if (env->flag[i] & VINSN_SECOND)
			continue;
		if (ebpf_insn_is_ld64(in)) {
			r = check_ld64(env, i);
			if (r)
				return r;
		} else if (BPF_CLASS(in->code) == BPF_LDX &&
			   ((BPF_MODE(in->code) != BPF_MEM && BPF_MODE(in->code) != BPF_MEMSX) ||
			    in->imm)) {
			vlog(env, "BPF_LDX uses reserved fields\n");
			return -EINVAL;
		} else if (!vinsn_is_known(in->code)) {
			vlog(env, "unknown opcode %02x\n", in->code);
			return -EINVAL;
		}
	}
	return 0;
}

static int check_jumps(struct venv *env)
{
	u32 f, i;

	for (f = 0; f < env->nfuncs; f++) {
		const struct vfunc *fn = &env->func[f];
		const struct bpf_insn *last = &env->insns[fn->end - 1];

		for (i = fn->start; i < fn->end; i++) {
			const struct bpf_insn *in = &env->insns[i];
			s64 target;

			if (!ebpf_insn_is_goto(in) && !ebpf_insn_is_cond(in))
				continue;
			target = ebpf_insn_target(in, i);
			if (target < fn->start || target >= fn->end) {
				vlog(env, "jump out of range from insn %u to %lld\n", i,
				     (long long)target);
				return -EINVAL;
			}
		}
		if (!ebpf_insn_is_exit(last) && !ebpf_insn_is_goto(last)) {
			vlog(env, "last insn is not an exit or jmp\n");
			return -EINVAL;
		}
	}
	return 0;
}

struct work {
	u32 *todo;
	u32 n;
};

static void reach(struct venv *env, struct work *w, s64 to, bool checkpoint)
{
	if (checkpoint)
		env->flag[to] |= VINSN_CHECKPOINT;
	if (env->flag[to] & VINSN_REACHED)
		return;
	env->flag[to] |= VINSN_REACHED;
	w->todo[w->n++] = (u32)to;
}

static u8 head_flags(const struct bpf_insn *in)
{
	if (ebpf_insn_is_may_goto(in) ||
	    (ebpf_insn_is_kfunc_call(in) && (in->imm == EBPF_KFUNC_ITER_NUM_NEXT || in->imm == EBPF_KFUNC_ITER_BITS_NEXT)))
		return VINSN_CHECKPOINT | VINSN_HEAD;
	if (ebpf_insn_is_helper_call(in) && vcallback_is((u32)in->imm))
		return VINSN_CHECKPOINT | VINSN_HEAD | VINSN_CALLS_BACK;
	return 0;
}

/* Checkpoints: where paths fork, where they meet, behind calls of functions and at their starts. */
static void reach_from(struct venv *env, struct work *w, u32 i)
{
	const struct bpf_insn *in = &env->insns[i];
	s64 target = ebpf_insn_target(in, i);

	if (ebpf_insn_is_exit(in))
		return;
	if (ebpf_insn_is_goto(in)) {
		reach(env, w, target, true);
		return;
	}
	if (ebpf_insn_is_func_load(in))
		reach(env, w, target, true);
	env->flag[i] |= head_flags(in);
	if (ebpf_insn_is_cond(in)) {
		env->flag[i] |= VINSN_CHECKPOINT;
		reach(env, w, target, true);
	} else if (ebpf_insn_is_subprog_call(in)) {
		reach(env, w, target, true);
		env->flag[i + 1] |= VINSN_CHECKPOINT;
	}
	reach(env, w, i + (ebpf_insn_is_ld64(in) ? 2 : 1), false);
}

static int check_reachable(struct venv *env)
{
	struct work w = {.todo = malloc(env->n * sizeof(u32)), .n = 0};
	u32 i;

	if (!w.todo)
		return -ENOMEM;
	reach(env, &w, 0, false);
	while (w.n)
		reach_from(env, &w, w.todo[--w.n]);
	free(w.todo);
	for (i = 0; i < env->n; i++) {
		if (!(env->flag[i] & VINSN_REACHED)) {
			vlog(env, "unreachable insn %u\n", i);
			return -EINVAL;
		}
		if (!ebpf_insn_is_ld64(&env->insns[i]))
			continue;
		/* only a jump can have reached the second half */
		if (env->flag[++i] & VINSN_REACHED) {
			vlog(env, "jump into the middle of ldimm64 insn %u\n", i - 1);
			return -EINVAL;
		}
	}
	return 0;
}

int vcfg_check(struct venv *env)
{
	u32 i;
	int r;

	for (i = 0; i + 1 < env->n; i++)
		if (ebpf_insn_is_ld64(&env->insns[i]))
			env->flag[++i] |= VINSN_SECOND;
	r = find_functions(env);
	if (!r)
		r = check_jumps(env);
	if (!r)
		r = check_opcodes(env);
	if (!r)
		r = check_reachable(env);
	return r;
}

#define TAIL_CALL_STACK 256u /* 33 programs that begin one another on one stack */

/* The deepest chain of calls from a function: how many frames and how many bytes. */
struct chain {
	u32 calls, depth; /* calls 0: not known yet */
};

/* What the kernel's compiler gives a function. */
static u32 frame_size(const struct venv *env, u32 f)
{
	return bits_round_up(bits_max(env->func[f].depth, 1u), 16u);
}

/* In tracing programs every function has its own 512 bytes (the kernel: on a private stack), unless one begins another
 * program on its caller's. */
static bool has_own_frames(const struct venv *env)
{
	u32 type = env->prog->prog_type, f;

	for (f = 0; f < env->nfuncs; f++)
		if (env->func[f].tail_calls)
			return false;
	return type == BPF_PROG_TYPE_KPROBE || type == BPF_PROG_TYPE_TRACEPOINT || type == BPF_PROG_TYPE_PERF_EVENT ||
	       type == BPF_PROG_TYPE_RAW_TRACEPOINT;
}

/* Recursion here is bounded by the frame limit: at is the number of frames above. */
static int measure_chain(struct venv *env, struct chain *chain, u32 f, u32 at, u32 above)
{
	struct chain best = {0};
	u32 i;
	int r;

	if (at + (chain[f].calls ? chain[f].calls : 1) > EBPF_MAX_FRAMES) {
		vlog(env, "the call stack of %u frames is too deep !\n", EBPF_MAX_FRAMES + 1);
		return -E2BIG;
	}
	if (env->func[f].tail_calls && above >= TAIL_CALL_STACK) {
		vlog(env, "tail_calls are not allowed when call stack of previous frames is %u bytes. Too large\n", above);
		return -EACCES;
	}
	if (chain[f].calls)
		return 0;
	for (i = env->func[f].start; i < env->func[f].end; i++) {
		const struct bpf_insn *in = &env->insns[i];
		u32 callee;

		if (!names_function(env, i))
			continue;
		callee = vcfg_func_at(env, (u32)ebpf_insn_target(in, i));
		r = measure_chain(env, chain, callee, at + 1, above + frame_size(env, f));
		if (r)
			return r;
		best.calls = bits_max(best.calls, chain[callee].calls);
		best.depth = bits_max(best.depth, chain[callee].depth);
	}
	chain[f].calls = best.calls + 1;
	chain[f].depth = best.depth + frame_size(env, f);
	return 0;
}

int vcfg_stack_depth(struct venv *env)
{
	struct chain *chain = calloc(env->nfuncs, sizeof(*chain));
	u32 f;
	int r;

	if (!chain)
		return -ENOMEM;
	for (f = 0; f < env->nfuncs; f++)
		env->fact[env->func[f].start].stack_depth = (s32)env->func[f].depth;
	r = measure_chain(env, chain, 0, 0, 0);
	if (!r && chain[0].depth > EBPF_MAX_STACK && !has_own_frames(env)) {
		vlog(env, "combined stack size of %u calls is %u. Too large\n", chain[0].calls,
		     chain[0].depth);
		r = -EACCES;
	}
	if (!r)
		env->res->stack_total = chain[0].depth;
	free(chain);
	return r;
}
