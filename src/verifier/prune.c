/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints. Without them the number of paths doubles with every branch; with them, a path that
 * arrives in a state that an earlier one has been proven for is cut off.
 *
 * The walk is depth first, so a checkpoint that still has unfinished paths behind it lies on the
 * current path: to meet it again in the very same state is an endless loop. One without unfinished
 * paths has all its marks (origin.c), and may serve for comparison. When it serves, its marks
 * become marks of the path that is cut off.
 *
 * A state is not worth a copy at every branch: a checkpoint follows the one before by at least 2
 * jumps and 8 instructions, and in a loop by 20 jumps or 100 instructions, as in the kernel;
 * checkpoints that never serve go.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "verifier/env.h"

static void node_free(struct venv *env, struct vnode *node)
{
	*node->all_prev = node->all_next;
	if (node->all_next)
		node->all_next->all_prev = node->all_prev;
	vstate_deinit(&node->st);
	free(node);
	env->nstates--;
}

void vprune_path_done(struct venv *env, struct vnode *node)
{
	while (node) {
		struct vnode *parent = node->st.parent;

		if (--node->branches)
			return;
		if (!node->listed && !node->is_head)
			node_free(env, node);
		node = parent;
	}
}

void vprune_deinit(struct venv *env)
{
	while (env->all)
		node_free(env, env->all);
}

/* A number that shares its group with nobody needs none: it would only hinder comparison. */
static void forget_lonely(struct vstate *st, struct vreg *r)
{
	u32 f, i, n = 0;

	if (!vreg_is_scalar(r) || !r->id)
		return;
	for (f = 0; f < st->nframes; f++) {
		const struct vframe *fr = st->frame[f];

		for (i = 0; i < 10; i++)
			n += vreg_is_scalar(&fr->r[i]) && fr->r[i].id == r->id;
		for (i = 0; i < fr->nslots; i++)
			n += vreg_is_scalar(&fr->slot[i].spill) && fr->slot[i].spill.id == r->id;
	}
	if (n > 1)
		return;
	r->id = 0;
	r->delta = 0;
}

static void tidy_state(struct venv *env, struct vstate *st)
{
	struct vframe *top = vstate_top(st);
	u32 f, i;

	for (i = 0; i < 10; i++)
		if (!(env->live[st->pc] >> i & 1))
			vreg_set_none(&top->r[i]);
	for (f = 0; f < st->nframes; f++) {
		for (i = 0; i < 10; i++)
			forget_lonely(st, &st->frame[f]->r[i]);
		for (i = 0; i < st->frame[f]->nslots; i++)
			forget_lonely(st, &st->frame[f]->slot[i].spill);
	}
}

static int node_add(struct venv *env)
{
	struct vnode *node = calloc(1, sizeof(*node));
	struct vstate *st = &env->cur;
	u32 f;
	int r;

	if (!node)
		return -ENOMEM;
	tidy_state(env, st);
	r = vstate_copy(st, &node->st);
	if (r) {
		free(node);
		return r;
	}
	for (f = 0; f < st->nframes; f++)
		node->st.frame[f]->read = 0;
	/* this path's share in the parent's branches is now the node's */
	node->branches = 1;
	node->serial = env->total_states;
	node->listed = true;
	node->next = env->explored[st->pc];
	env->explored[st->pc] = node;
	node->all_next = env->all;
	node->all_prev = &env->all;
	if (env->all)
		env->all->all_prev = &node->all_next;
	env->all = node;
	st->parent = node;
	vorigin_restart(st);
	env->nstates++;
	env->total_states++;
	env->peak_states = bits_max(env->peak_states, env->nstates);
	env->mark_insns = env->insn_count;
	env->mark_jumps = env->jump_count;
	return 0;
}

static void add_marks(bool precise, bool held, u64 origin, u64 *ret_precise, u64 *ret_held)
{
	*ret_precise |= precise ? origin : 0;
	*ret_held |= held ? origin : 0;
}

/* The checkpoint's proof is now also this path's: what it rests on is marked here, too. */
static void inherit_marks(struct venv *env, const struct vnode *node)
{
	u64 origin = 0, held = 0;
	u32 f, i;

	for (f = 0; f < node->st.nframes; f++) {
		const struct vframe *old = node->st.frame[f], *cur = env->cur.frame[f];

		vorigin_stack_read(&env->cur, f, old->read);
		for (i = 0; i < 10; i++)
			if (vreg_is_scalar(&old->r[i]))
				add_marks(old->r[i].precise, old->r[i].held, cur->r[i].origin, &origin, &held);
		for (i = 0; i < old->nslots && i < cur->nslots; i++)
			add_marks(old->slot[i].precise, old->slot[i].held,
				  cur->slot[i].origin | cur->slot[i].spill.origin, &origin, &held);
	}
	vorigin_demand(env, origin);
	vorigin_hold(env->cur.parent, held);
	if (node->dep && node->dep->branches)
		vloop_depend(env, node->dep);
}

static void drop_useless(struct venv *env, struct vnode **link)
{
	struct vnode *node = *link;

	*link = node->next;
	node->listed = false;
	if (!node->branches && !node->is_head)
		node_free(env, node);
}

/* A checkpoint on the current path: 1 = the loop is closed over it, 0 = go on, -EINVAL. */
static int visit_open(struct venv *env, struct vnode *node, bool head)
{
	struct vstate *st = &env->cur;

	if (vloop_progressed(&node->st, st)) {
		if (!head || !vstates_equal(env, node, st, VCOMPARE_WITHIN))
			return 0;
		node->hits++;
		vloop_close(env, node);
		return 1;
	}
	if (!vstates_equal(env, node, st, VCOMPARE_EXACT))
		return 0;
	vlog(env, "infinite loop detected at insn %u\n", st->pc);
	vlog_state(env, st);
	return -EINVAL;
}

int vprune_visit(struct venv *env)
{
	struct vstate *st = &env->cur;
	u32 insns = env->insn_count - env->mark_insns, jumps = env->jump_count - env->mark_jumps;
	bool head = env->flag[st->pc] & VINSN_HEAD;
	bool add = head || (jumps >= 2 && insns >= 8);
	struct vnode **link, *node;
	enum vcompare how = env->prog->observe ? VCOMPARE_WITHIN : VCOMPARE_PROVEN;
	u32 n = 0;
	int r;

	if (env->flag[st->pc] & VINSN_CALLS_BACK && !vstate_top(st)->loop)
		vstate_top(st)->loop = ++env->last_id;

	for (link = &env->explored[st->pc]; (node = *link);) {
		n++;
		if (node->branches) {
			r = visit_open(env, node, head);
			if (r)
				return r;
			if (!head && jumps < 20 && insns < 100)
				add = false;
		} else if (vloop_may_serve(node, st) && vstates_equal(env, node, st, how)) {
			node->hits++;
			inherit_marks(env, node);
			return 1;
		}
		node->misses += add;
		if (node->misses > node->hits * 3 + (head && node->branches ? 64 : 3)) {
			drop_useless(env, link);
			continue;
		}
		link = &node->next;
	}
	env->max_states_per_insn = bits_max(env->max_states_per_insn, n);
	return add ? node_add(env) : 0;
}
