/* SPDX-License-Identifier: MIT */
/* Jumps: go on at one place if the state decides, else fork, each way with what the comparison
 * tells. */
#include <errno.h>
#include <stdlib.h>

#include "verifier/env.h"

int venv_push(struct venv *env, struct vstate **ret)
{
	struct vpending *p;
	int r;

	if (env->npending == VMAX_PENDING) {
		vlog(env, "The sequence of %u jumps is too complex.\n", env->npending + 1);
		return -E2BIG;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	r = vstate_copy(&env->cur, &p->st);
	if (r) {
		free(p);
		return r;
	}
	p->st.prev_pc = env->cur.pc;
	p->log_len = env->log->len;
	p->next = env->pending;
	env->pending = p;
	env->npending++;
	if (p->st.parent)
		p->st.parent->branches++;
	*ret = &p->st;
	return 0;
}

/* A number of the group got new bounds: all others get them, moved by their distance. */
static void group_update(struct vreg *r, const struct vreg *known)
{
	struct range moved = known->v, distance;

	if (r == known || !vreg_is_scalar(r) || r->id != known->id)
		return;
	r->origin |= known->origin;
	range_set_const(&distance, (u64)((s64)r->delta - known->delta));
	range_alu(&moved, &distance, BPF_ADD, 64);
	range_intersect(&r->v, &moved);
}

static void group_sync(struct vstate *st, const struct vreg *known)
{
	u32 f, i;

	if (!vreg_is_scalar(known) || !known->id)
		return;
	for (f = 0; f < st->nframes; f++) {
		for (i = 0; i < 10; i++)
			group_update(&st->frame[f]->r[i], known);
		for (i = 0; i < st->frame[f]->nslots; i++)
			group_update(&st->frame[f]->slot[i].spill, known);
	}
}

struct compare {
	const struct bpf_insn *in;
	struct vreg imm; /* the constant right side, if it is one */
	bool is32;
	u8 op;
};

static struct vreg *right_side(struct vstate *st, struct compare *c)
{
	return BPF_SRC(c->in->code) == BPF_X ? &vstate_top(st)->r[c->in->src_reg] : &c->imm;
}

static void learn(struct vstate *st, struct compare *c, bool truth)
{
	struct vreg *a = &vstate_top(st)->r[c->in->dst_reg];
	struct vreg imm = c->imm;
	struct vreg *b = BPF_SRC(c->in->code) == BPF_X ? right_side(st, c) : &imm;

	if (a == b || !vreg_is_scalar(a) || !vreg_is_scalar(b))
		return;
	vrefine(a, b, c->op, c->is32, truth);
	group_sync(st, a);
	if (b != &imm)
		group_sync(st, b);
}

static void settle_null(struct vreg *r, u32 id, bool is_null)
{
	if (!vreg_is_pointer(r) || vspecial_is(r) || !r->maybe_null || r->id != id)
		return;
	if (is_null) {
		vreg_set_const(r, 0);
	} else {
		r->maybe_null = false;
		r->id = 0;
	}
}

/* Every copy of the pointer shares the answer. */
static void learn_null(struct venv *env, struct vstate *st, u32 regno, bool is_null)
{
	const struct vreg *p = &vstate_top(st)->r[regno];
	u32 id = p->id, ref = p->ref, f, i;

	if (ref && is_null)
		vref_release(env, st, ref, true);
	for (f = 0; f < st->nframes; f++) {
		for (i = 0; i < 10; i++)
			settle_null(&st->frame[f]->r[i], id, is_null);
		for (i = 0; i < st->frame[f]->nslots; i++)
			settle_null(&st->frame[f]->slot[i].spill, id, is_null);
	}
}

static bool is_null_check(const struct vreg *a, const struct compare *c)
{
	return vreg_is_pointer(a) && a->maybe_null && !c->is32 && BPF_SRC(c->in->code) == BPF_K &&
	       c->in->imm == 0 && (c->op == BPF_JEQ || c->op == BPF_JNE);
}

/* The kinds that the kernel, too, takes to be addresses other than NULL. */
static bool is_not_null(const struct vreg *r)
{
	return !r->maybe_null &&
	       (r->type == VREG_VALUE || r->type == VREG_RECORD || r->type == VREG_MEM ||
		r->type == VREG_MAP || r->type == VREG_KEY);
}

static int outcome(const struct vreg *a, const struct vreg *b, const struct compare *c)
{
	if (vreg_is_scalar(a) && vreg_is_scalar(b))
		return vrefine_outcome(&a->v, &b->v, c->op, c->is32);
	/* a pointer that cannot be NULL against 0; its low half may well be 0 */
	if (c->is32 || (c->op != BPF_JEQ && c->op != BPF_JNE))
		return -1;
	if ((is_not_null(a) && vreg_is_null(b)) || (is_not_null(b) && vreg_is_null(a)))
		return c->op == BPF_JNE;
	return -1;
}

static int fork_paths(struct venv *env, struct compare *c, u32 target)
{
	const struct vreg *a = vreg_of(env, c->in->dst_reg);
	bool null_check = is_null_check(a, c);
	struct vstate *other;
	int r = venv_push(env, &other);

	if (r)
		return r;
	other->pc = target;
	env->cur.pc++;
	if (null_check) {
		learn_null(env, other, c->in->dst_reg, c->op == BPF_JEQ);
		learn_null(env, &env->cur, c->in->dst_reg, c->op == BPF_JNE);
	} else {
		vpacket_learn(other, &env->cur, c->in);
		learn(other, c, true);
		learn(&env->cur, c, false);
	}
	return 0;
}

/* The counter is spent: jump; else go on behind, one round nearer to its end. */
static int exec_may_goto(struct venv *env, u32 target)
{
	struct vstate *other;
	int r = venv_push(env, &other);

	if (r)
		return r;
	other->pc = env->cur.pc + 1;
	vstate_top(other)->goto_depth++;
	vloop_widen(env->cur.parent ? env->cur.parent->st.parent : NULL, env->cur.pc, other);
	env->res->uses_may_goto = true;
	env->cur.pc = target;
	return 0;
}

int vbranch_exec(struct venv *env, const struct bpf_insn *in)
{
	struct compare c = {
	    .in = in, .is32 = BPF_CLASS(in->code) == BPF_JMP32, .op = BPF_OP(in->code)};
	u32 target = (u32)ebpf_insn_target(in, env->cur.pc);
	struct vreg *a, *b;
	int r;

	if (ebpf_insn_is_may_goto(in))
		return exec_may_goto(env, target);
	if (ebpf_insn_is_goto(in)) {
		env->cur.pc = target;
		return 0;
	}
	if (BPF_SRC(in->code) == BPF_X) {
		r = vreg_check_read(env, in->src_reg);
		if (r)
			return r;
	} else {
		vreg_set_const(&c.imm, (u64)(s64)in->imm);
	}
	r = vreg_check_read(env, in->dst_reg);
	if (r)
		return r;
	a = vreg_of(env, in->dst_reg);
	b = right_side(&env->cur, &c);
	r = outcome(a, b, &c);
	if (r < 0)
		return fork_paths(env, &c, target);
	vorigin_demand(env, a->origin | b->origin);
	env->cur.pc = r ? target : env->cur.pc + 1;
	return 0;
}
