/* SPDX-License-Identifier: MIT */
/*
 * Forward analysis. For each instruction: is it reached, which registers cannot be zero, which are
 * R10 + constant. Starts optimistic (nothing reached) and only ever weakens a fact, so a branch
 * that is folded early is unfolded when a later path proves it necessary. Every fact can weaken a
 * bounded number of times, so it ends.
 */
#include "jit/prog.h"

#include <errno.h>

struct flow_queue {
	struct jit_prog *p;
	u32 n;
};

/* Branch on register == 0 in all 64 bits: the fact nonnull decides it. */
static bool tests_null(const struct bpf_insn *insn, bool *ret_jumps_if_null)
{
	if (insn->code != (BPF_JMP | BPF_JEQ | BPF_K) && insn->code != (BPF_JMP | BPF_JNE | BPF_K))
		return false;
	*ret_jumps_if_null = BPF_OP(insn->code) == BPF_JEQ;
	return insn->imm == 0;
}

/* What the verifier never reached needs no edge. */
static bool possible(const struct jit_prog *p, u32 target)
{
	return p->in->facts->insn[target].seen;
}

static void cond_edges(const struct jit_prog *p, u32 i, bool *ret_taken, bool *ret_falls)
{
	const struct bpf_insn *insn = &p->insns[i];
	bool jumps_if_null, nonnull = p->flow[i].nonnull >> insn->dst_reg & 1;

	*ret_taken = possible(p, jit_target(insn, i));
	*ret_falls = i + 1 < p->n && possible(p, i + 1);
	if (nonnull && tests_null(insn, &jumps_if_null)) {
		*ret_taken = *ret_taken && !jumps_if_null;
		*ret_falls = *ret_falls && jumps_if_null;
	}
}

u32 jit_successors(const struct jit_prog *p, u32 i, u32 ret[2])
{
	const struct bpf_insn *insn = &p->insns[i];
	u32 n = 0;

	if (jit_is_cond(insn)) {
		bool taken, falls;

		cond_edges(p, i, &taken, &falls);
		if (taken)
			ret[n++] = jit_target(insn, i);
		if (falls)
			ret[n++] = i + 1;
	} else if (jit_is_branch(insn)) {
		ret[n++] = jit_target(insn, i);
	} else if (insn->code != (BPF_JMP | BPF_EXIT)) {
		ret[n++] = i + (jit_is_wide(insn) ? 2 : 1);
	}
	return n;
}

static void set_scalar(struct jit_flow *s, u32 reg)
{
	s->fp_off[reg] = JIT_NOT_STACK;
	s->nonnull &= (u16) ~(1u << reg);
}

static void after_call(const struct jit_prog *p, u32 i, struct jit_flow *s)
{
	for (u32 r = 0; r <= 5; r++)
		set_scalar(s, r);
	/* An array has all its elements: a constant key in range is never missed. */
	if (p->note[i].action == JIT_LOOKUP && p->note[i].key == JIT_KEY_CONST)
		s->nonnull |= 1;
}

static void after_alu(const struct bpf_insn *insn, struct jit_flow *s)
{
	u8 op = BPF_OP(insn->code);
	bool w64 = BPF_CLASS(insn->code) == BPF_ALU64, imm = BPF_SRC(insn->code) == BPF_K;
	s16 dst = s->fp_off[insn->dst_reg],
	    src = imm || op == BPF_NEG || op == BPF_END ? JIT_NOT_STACK : s->fp_off[insn->src_reg];
	bool src_nonnull = s->nonnull >> insn->src_reg & 1;
	s64 off;

	set_scalar(s, insn->dst_reg);
	if (op == BPF_MOV) {
		if (w64 && insn->off == 0) {
			s->fp_off[insn->dst_reg] = src;
			s->nonnull |= (u16)((!imm && src_nonnull) << insn->dst_reg);
		} else if (src != JIT_NOT_STACK) {
			s->fp_off[insn->dst_reg] = JIT_MAYBE_STACK;
		}
		return;
	}
	if (dst == JIT_NOT_STACK && src == JIT_NOT_STACK)
		return;
	s->fp_off[insn->dst_reg] = JIT_MAYBE_STACK;
	if (dst == JIT_MAYBE_STACK || !w64 || !imm || (op != BPF_ADD && op != BPF_SUB))
		return;
	off = op == BPF_ADD ? (s64)dst + insn->imm : (s64)dst - insn->imm;
	if (off > -16384 && off < 16384)
		s->fp_off[insn->dst_reg] = (s16)off;
}

/* Helpers that hand a pointer on to a function of the program: it may go below it, too. */
static bool calls_back(const struct bpf_insn *insn)
{
	if (!jit_is_helper(insn))
		return false;
	switch (insn->imm) {
	case JIT_FN_FOR_EACH_MAP_ELEM:
	case JIT_FN_FIND_VMA:
	case JIT_FN_LOOP:
	case JIT_FN_USER_RINGBUF_DRAIN: return true;
	default: return false;
	}
}

/* A pointer into the frame that leaves the registers may come back as anything. */
static void check_escape(struct jit_prog *p, u32 i, const struct jit_flow *s)
{
	const struct bpf_insn *insn = &p->insns[i];
	bool escapes = false;

	if (BPF_CLASS(insn->code) == BPF_STX)
		escapes =
		    s->fp_off[insn->src_reg] != JIT_NOT_STACK && insn->imm != JIT_ATOMIC_LOAD_ACQ;
	else if (jit_is_local_call(insn) || calls_back(insn))
		for (u32 r = 1; r <= 5; r++)
			escapes |= s->fp_off[r] != JIT_NOT_STACK;
	else if (insn->code == (BPF_JMP | BPF_EXIT))
		escapes = s->fp_off[0] != JIT_NOT_STACK;
	if (escapes)
		jit_func_of(p, i)->escapes = true;
}

static void flow_step(struct jit_prog *p, u32 i, struct jit_flow *s)
{
	const struct bpf_insn *insn = &p->insns[i];

	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64: after_alu(insn, s); break;
	case BPF_LDX: set_scalar(s, insn->dst_reg); break;
	case BPF_LD:
		if (ebpf_insn_is_packet_load(insn)) {
			after_call(p, i, s);
			break;
		}
		set_scalar(s, insn->dst_reg);
		if (insn->src_reg)
			s->nonnull |= (u16)(1u << insn->dst_reg);
		break;
	case BPF_STX:
		if (BPF_MODE(insn->code) != BPF_ATOMIC)
			break;
		if (insn->imm == JIT_ATOMIC_LOAD_ACQ)
			set_scalar(s, insn->dst_reg);
		else if (insn->imm == BPF_CMPXCHG)
			set_scalar(s, 0);
		else if (insn->imm & BPF_FETCH)
			set_scalar(s, insn->src_reg);
		break;
	case BPF_JMP:
		if (BPF_OP(insn->code) == BPF_CALL)
			after_call(p, i, s);
		break;
	}
}

static void flow_to(struct flow_queue *q, u32 i, const struct jit_flow *s)
{
	struct jit_flow *d = &q->p->flow[i];
	bool changed = !d->reached;

	if (!d->reached) {
		*d = *s;
		d->reached = true;
	} else {
		u16 nonnull = d->nonnull & s->nonnull;

		changed = nonnull != d->nonnull;
		d->nonnull = nonnull;
		for (u32 r = 0; r < JIT_NREGS; r++) {
			if (d->fp_off[r] == s->fp_off[r] || d->fp_off[r] == JIT_MAYBE_STACK)
				continue;
			d->fp_off[r] = JIT_MAYBE_STACK;
			changed = true;
		}
	}
	if (changed && !q->p->note[i].mid) {
		q->p->note[i].mid = 1; /* is queued: each at most once */
		q->p->work[q->n++] = i;
	}
}

static void flow_into_function(struct flow_queue *q, u32 first)
{
	struct jit_flow s = {.reached = true};

	/* Arguments may point into the caller's frame; that is not this function's own. */
	for (u32 r = 0; r < JIT_FP; r++)
		s.fp_off[r] = JIT_NOT_STACK;
	jit_func_of(q->p, first)->reached = true;
	flow_to(q, first, &s);
}

static int flow_visit(struct flow_queue *q, u32 i)
{
	struct jit_prog *p = q->p;
	const struct bpf_insn *insn = &p->insns[i];
	struct jit_flow s = p->flow[i];
	const struct jit_func *fn = jit_func_of(p, i);
	bool exit = insn->code == (BPF_JMP | BPF_EXIT), jumps_if_null;
	u32 succ[2], n = jit_successors(p, i, succ);

	if (!n && !exit)
		return -EINVAL;
	check_escape(p, i, &s);
	/* a callback that is never called is not seen: its address is all there is of it */
	if ((jit_is_local_call(insn) || jit_is_func_addr(insn)) && possible(p, jit_target(insn, i)))
		flow_into_function(q, jit_target(insn, i));
	flow_step(p, i, &s);
	for (u32 k = 0; k < n; k++) {
		struct jit_flow edge = s;

		if (succ[k] >= fn->end || !possible(p, succ[k]))
			return -EINVAL; /* runs out of its function, or the verifier's facts are not of this program */
		if (jit_is_cond(insn) && tests_null(insn, &jumps_if_null) &&
		    jumps_if_null == (succ[k] == i + 1) && jit_target(insn, i) != i + 1)
			edge.nonnull |= (u16)(1u << insn->dst_reg);
		flow_to(q, succ[k], &edge);
	}
	return 0;
}

int jit_flow(struct jit_prog *p)
{
	struct flow_queue q = {.p = p};

	flow_into_function(&q, 0);
	while (q.n) {
		u32 i = p->work[--q.n];
		int r;

		p->note[i].mid = 0;
		r = flow_visit(&q, i);
		if (r)
			return r;
	}
	for (u32 i = 0; i < p->n; i++) {
		bool taken, falls;

		if (!p->flow[i].reached) {
			p->note[i].action = JIT_SKIP;
		} else if (jit_is_cond(&p->insns[i])) {
			cond_edges(p, i, &taken, &falls);
			p->note[i].action = !taken ? JIT_SKIP : falls ? JIT_PLAIN : JIT_GOTO;
		}
	}
	return 0;
}
