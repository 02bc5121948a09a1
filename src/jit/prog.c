/* SPDX-License-Identifier: MIT */
#include "jit/prog.h"

#include <errno.h>
#include <stdlib.h>

#include "abi/payload.h"
#include "base/bits.h"
#include "ebpf/kfuncs.h"

bool jit_is_wide(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static bool is_jump_class(const struct bpf_insn *insn)
{
	return BPF_CLASS(insn->code) == BPF_JMP || BPF_CLASS(insn->code) == BPF_JMP32;
}

bool jit_is_branch(const struct bpf_insn *insn)
{
	u8 op = BPF_OP(insn->code);

	return is_jump_class(insn) && op != BPF_CALL && op != BPF_EXIT;
}

bool jit_is_cond(const struct bpf_insn *insn)
{
	return jit_is_branch(insn) && BPF_OP(insn->code) != BPF_JA;
}

bool jit_is_helper(const struct bpf_insn *insn)
{
	return insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == 0;
}

bool jit_is_kfunc(const struct bpf_insn *insn)
{
	return insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_KFUNC_CALL;
}

bool jit_is_func_addr(const struct bpf_insn *insn)
{
	return jit_is_wide(insn) && insn->src_reg == BPF_PSEUDO_FUNC;
}

bool jit_is_local_call(const struct bpf_insn *insn)
{
	return insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL;
}

u32 jit_target(const struct bpf_insn *insn, u32 i)
{
	bool by_imm = jit_is_local_call(insn) || jit_is_func_addr(insn) || insn->code == (BPF_JMP32 | BPF_JA);

	return (u32)((s64)i + 1 + (by_imm ? insn->imm : insn->off));
}

u32 jit_size(const struct bpf_insn *insn)
{
	switch (BPF_SIZE(insn->code)) {
	case BPF_B: return 1;
	case BPF_H: return 2;
	case BPF_W: return 4;
	default: return 8;
	}
}

/* An op has two operand forms; div and mod may be signed, by zero only in a register. */
static bool alu_ok(const struct bpf_insn *insn)
{
	bool w64 = BPF_CLASS(insn->code) == BPF_ALU64;
	bool reg = BPF_SRC(insn->code) == BPF_X;

	switch (BPF_OP(insn->code)) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_OR:
	case BPF_AND:
	case BPF_LSH:
	case BPF_RSH:
	case BPF_XOR:
	case BPF_ARSH: return insn->off == 0;
	case BPF_DIV:
	case BPF_MOD: return (insn->off == 0 || insn->off == 1) && (reg || insn->imm);
	case BPF_NEG: return !reg && insn->off == 0;
	case BPF_MOV:
		if (insn->off == 0 || ebpf_insn_is_cast(insn))
			return true;
		return reg && (insn->off == 8 || insn->off == 16 || (insn->off == 32 && w64));
	case BPF_END:
		return (!w64 || !reg) && insn->off == 0 &&
		       (insn->imm == 16 || insn->imm == 32 || insn->imm == 64);
	default: return false;
	}
}

static bool atomic_ok(const struct bpf_insn *insn)
{
	if (insn->imm == JIT_ATOMIC_LOAD_ACQ || insn->imm == JIT_ATOMIC_STORE_REL)
		return true;
	if (jit_size(insn) < 4)
		return false;
	switch (insn->imm) {
	case BPF_ADD:
	case BPF_OR:
	case BPF_AND:
	case BPF_XOR:
	case BPF_ADD | BPF_FETCH:
	case BPF_OR | BPF_FETCH:
	case BPF_AND | BPF_FETCH:
	case BPF_XOR | BPF_FETCH:
	case BPF_XCHG:
	case BPF_CMPXCHG: return true;
	default: return false;
	}
}

static bool memory_ok(const struct bpf_insn *insn)
{
	u8 mode = BPF_MODE(insn->code);

	switch (BPF_CLASS(insn->code)) {
	case BPF_LDX: return mode == BPF_MEM || (mode == BPF_MEMSX && jit_size(insn) < 8);
	case BPF_ST: return mode == BPF_MEM;
	default: return (mode == BPF_MEM && !insn->imm) || (mode == BPF_ATOMIC && atomic_ok(insn));
	}
}

static bool wide_ok(const struct jit_input *in, u32 i)
{
	const struct bpf_insn *insn = &in->insns[i];

	if (!jit_is_wide(insn) || i + 1 >= in->n || in->insns[i + 1].code || insn->off)
		return false;
	if (insn->src_reg == 0)
		return true;
	if (insn->src_reg == BPF_PSEUDO_FUNC)
		return jit_target(insn, i) < in->n;
	return (insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_VALUE) &&
	       (u32)insn->imm < in->nmaps;
}

static bool jump_ok(const struct jit_input *in, u32 i)
{
	const struct bpf_insn *insn = &in->insns[i];
	u8 op = BPF_OP(insn->code);

	if (op == BPF_EXIT)
		return insn->code == (BPF_JMP | BPF_EXIT);
	if (op == BPF_CALL) {
		if (jit_is_helper(insn))
			return insn->imm > 0 && (u32)insn->imm < NT_HELPER_KFUNC;
		if (jit_is_kfunc(insn))
			return insn->imm > 0 && insn->imm < EBPF_KFUNC_N;
		return jit_is_local_call(insn) && jit_target(insn, i) < in->n;
	}
	if (insn->code == JIT_MAY_GOTO)
		return !insn->src_reg && jit_target(insn, i) < in->n;
	if (op > BPF_JSLE || (op == BPF_JA && BPF_SRC(insn->code) == BPF_X))
		return false;
	return jit_target(insn, i) < in->n;
}

/* Does the instruction change its dst register? (Atomics change src or R0.) */
static bool writes_dst(const struct bpf_insn *insn)
{
	u8 class = BPF_CLASS(insn->code);

	return class == BPF_ALU || class == BPF_ALU64 || class == BPF_LDX || class == BPF_LD;
}

static bool insn_ok(const struct jit_input *in, u32 i)
{
	const struct bpf_insn *insn = &in->insns[i];

	if (insn->dst_reg >= JIT_NREGS || insn->src_reg >= JIT_NREGS)
		return false;
	if (writes_dst(insn) && insn->dst_reg == JIT_FP)
		return false;
	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64: return alu_ok(insn);
	case BPF_JMP:
	case BPF_JMP32: return jump_ok(in, i);
	case BPF_LD: return ebpf_insn_is_packet_load(insn) ? !insn->dst_reg && !insn->off : wide_ok(in, i);
	default: return memory_ok(insn);
	}
}

/*
 * The map if the call at i is a lookup that can be inlined. Geometry is checked so that index *
 * stride fits the 32-bit immediates of the code we write; anything larger calls the helper.
 */
const struct nt_map_view *jit_lookup_map(const struct jit_prog *p, u32 i)
{
	const struct verifier_insn *fact = &p->in->facts->insn[i];
	const struct nt_map_view *m;

	if (!jit_is_helper(&p->insns[i]) || p->insns[i].imm != JIT_FN_LOOKUP || !fact->map_known ||
	    fact->map_index >= p->in->nmaps)
		return NULL;
	m = &p->in->maps[fact->map_index];
	if (m->key_size != 4 || !m->max_entries || m->max_entries > INT32_MAX || !m->value_stride ||
	    m->value_stride > INT32_MAX || (u64)m->value_stride * m->max_entries > INT32_MAX)
		return NULL;
	if (m->type == BPF_MAP_TYPE_ARRAY)
		return m;
	if (m->type == BPF_MAP_TYPE_PERCPU_ARRAY && p->tells_cpu && m->ncpus &&
	    m->cpu_stride <= INT32_MAX)
		return m;
	return NULL;
}

static void choose_inline(struct jit_prog *p, u32 i)
{
	const struct verifier_insn *fact = &p->in->facts->insn[i];
	const struct nt_map_view *m = jit_lookup_map(p, i);
	struct jit_note *note = &p->note[i];

	if (m) {
		note->action =
		    fact->key_known && fact->key >= m->max_entries ? JIT_NULL : JIT_LOOKUP;
		note->key = fact->key_known ? JIT_KEY_CONST : JIT_KEY_PTR;
		return;
	}
	switch (p->insns[i].imm) {
	case JIT_FN_SMP_ID:
		if (p->tells_cpu)
			note->action = JIT_SMP_ID;
		break;
	case JIT_FN_COOKIE: note->action = JIT_COOKIE; break;
	case JIT_FN_FUNC_IP: note->action = JIT_FUNC_IP; break;
	}
}

static void choose_kfunc(struct jit_prog *p, u32 i)
{
	struct jit_note *note = &p->note[i];

	switch (p->insns[i].imm) {
	case EBPF_KFUNC_SESSION_IS_RETURN: note->action = JIT_IS_RETURN; break;
	case EBPF_KFUNC_SESSION_COOKIE: note->action = JIT_SESSION; break;
	case EBPF_KFUNC_RCU_READ_LOCK:
	case EBPF_KFUNC_RCU_READ_UNLOCK:
	case EBPF_KFUNC_PREEMPT_DISABLE:
	case EBPF_KFUNC_PREEMPT_ENABLE: note->action = JIT_NULL; break;
	case EBPF_KFUNC_CAST_TO_KERN_CTX:
	case EBPF_KFUNC_RDONLY_CAST: note->action = JIT_ARG; break;
	}
	p->keeps_ctx |= note->action == JIT_IS_RETURN || note->action == JIT_SESSION;
}

static void choose_call(struct jit_prog *p, u32 i)
{
	s32 id = p->insns[i].imm;

	p->tail_calls |= id == JIT_FN_TAIL_CALL;
	p->keeps_ctx |= id == JIT_FN_TAIL_CALL || id == JIT_FN_GET_TASK_STACK || id == JIT_FN_TASK_PT_REGS;
	p->signals |= id == JIT_FN_SEND_SIGNAL || id == JIT_FN_SEND_SIGNAL_THREAD;
	choose_inline(p, i);
}

/* No path of the verifier's reaches it: it may be anything. Loaders poison what their kernel does not have, behind a
 * check that is never true, with calls that do not exist. */
static bool is_dead(const struct jit_prog *p, u32 i)
{
	return !p->in->facts->insn[i].seen;
}

/* Marks branch targets and function starts (in work[]), picks the calls that are inlined. */
static int scan_insns(struct jit_prog *p)
{
	for (u32 i = 0; i < p->n; i++) {
		const struct bpf_insn *insn = &p->insns[i];

		if (is_dead(p, i)) {
			if (jit_is_wide(insn) && i + 1 < p->n)
				p->note[++i].action = JIT_SKIP;
			continue;
		}
		if (!insn_ok(p->in, i))
			return -EINVAL;
		if (jit_is_branch(insn))
			p->note[jit_target(insn, i)].leader = true;
		else if (jit_is_local_call(insn))
			p->work[jit_target(insn, i)] = 1;
		else if (jit_is_helper(insn))
			choose_call(p, i);
		else if (jit_is_kfunc(insn))
			choose_kfunc(p, i);
		if (jit_is_func_addr(insn))
			p->work[jit_target(insn, i)] = 1;
		if (jit_is_wide(insn))
			p->note[++i].action = JIT_SKIP;
	}
	/* A branch into the second half of an LD_IMM64 would run data. */
	for (u32 i = 0; i < p->n; i++)
		if (jit_is_wide(&p->insns[i]) && i + 1 < p->n && (p->note[++i].leader || p->work[i]))
			return -EINVAL;
	return 0;
}

/* A function runs from its first instruction to the next function's; no branch leaves it. */
static int find_functions(struct jit_prog *p)
{
	u32 nfuncs = 0;

	p->work[0] = 1;
	for (u32 i = 0; i < p->n; i++)
		nfuncs += p->work[i];
	p->func = calloc(nfuncs, sizeof(*p->func));
	if (!p->func)
		return -ENOMEM;
	for (u32 i = 0; i < p->n; i++) {
		s32 depth = p->in->facts->insn[i].stack_depth;

		if (!p->work[i])
			continue;
		if (depth < 0 || depth > EBPF_MAX_STACK)
			return -EINVAL;
		if (p->nfuncs)
			p->func[p->nfuncs - 1].end = i;
		p->func[p->nfuncs++] = (struct jit_func){
		    .first = i, .end = p->n, .depth = bits_round_up((u32)depth, 8u)};
	}
	for (u32 f = 0; f < p->nfuncs; f++)
		for (u32 i = p->func[f].first; i < p->func[f].end; i++) {
			u32 t = jit_target(&p->insns[i], i);

			p->func[f].counts |= p->insns[i].code == JIT_MAY_GOTO;
			if (p->note[i].action != JIT_SKIP && !is_dead(p, i) && jit_is_branch(&p->insns[i]) &&
			    (t < p->func[f].first || t >= p->func[f].end))
				return -EINVAL;
		}
	for (u32 f = 0; f < p->nfuncs; f++)
		p->func[f].depth += p->func[f].counts ? 8 : 0;
	return 0;
}

struct jit_func *jit_func_of(const struct jit_prog *p, u32 i)
{
	u32 lo = 0, hi = p->nfuncs;

	while (hi - lo > 1) {
		u32 mid = lo + (hi - lo) / 2;

		if (p->func[mid].first <= i)
			lo = mid;
		else
			hi = mid;
	}
	return &p->func[lo];
}

int jit_prog_init(struct jit_prog *p, const struct jit_input *in, bool tells_cpu)
{
	int r;

	*p = (struct jit_prog){.in = in, .tells_cpu = in->has_rdpid && tells_cpu, .insns = in->insns, .n = in->n};
	if (!in->n)
		return -EINVAL;
	if (in->n > EBPF_MAX_INSNS)
		return -E2BIG;
	p->note = calloc(in->n, sizeof(*p->note));
	p->flow = calloc(in->n, sizeof(*p->flow));
	p->live = calloc(in->n, sizeof(*p->live));
	p->work = calloc(in->n, sizeof(*p->work));
	if (!p->note || !p->flow || !p->live || !p->work)
		return -ENOMEM;
	r = scan_insns(p);
	return r ? r : find_functions(p);
}

void jit_prog_deinit(struct jit_prog *p)
{
	free(p->note);
	free(p->flow);
	free(p->live);
	free(p->func);
	free(p->work);
	*p = (struct jit_prog){0};
}
