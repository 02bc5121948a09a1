/* SPDX-License-Identifier: MIT */
/*
 * Is everything that was proven behind a checkpoint also true for the current state? It is if every
 * concrete state that the current one stands for is one that the checkpoint stands for, in the
 * places that matter: registers that are read later, stack slots that were read behind the
 * checkpoint, and of numbers only those that a decision rested on.
 */
#include <string.h>

#include "verifier/env.h"

#define MAX_IDS 128u

struct idmap {
	u32 n;
	struct {
		u32 old, cur;
		s64 distance; /* scalars: how far apart the groups' bases are */
	} id[MAX_IDS];
};

/* Places that are tied together in old must be tied together in cur. */
static bool ids_match(struct idmap *m, u32 old, u32 cur, s64 distance)
{
	u32 i;

	if (!old)
		return true;
	if (!cur)
		return false;
	for (i = 0; i < m->n; i++)
		if (m->id[i].old == old)
			return m->id[i].cur == cur && m->id[i].distance == distance;
	if (m->n == MAX_IDS)
		return false;
	m->id[m->n].old = old;
	m->id[m->n].cur = cur;
	m->id[m->n++].distance = distance;
	return true;
}

/* Of a packet more may be known; pointers without a variable part are all related. */
static bool sizes_match(const struct vreg *old, const struct vreg *cur, bool exact)
{
	if (!vpacket_is(old) || exact)
		return old->size == cur->size && (!vpacket_is(old) || !old->id == !cur->id);
	return old->size <= cur->size && !old->id == !cur->id;
}

static bool pointers_match(struct idmap *m, const struct vreg *old, const struct vreg *cur, bool exact)
{
	/* a slice names its dynptr, whose number differs from path to path */
	bool slice = old->type == VREG_MEM;

	if (slice ? !ids_match(m, old->map, cur->map, 0) : old->map != cur->map)
		return false;
	if (!sizes_match(old, cur, exact))
		return false;
	return old->off == cur->off && old->frame == cur->frame &&
	       old->maybe_null == cur->maybe_null && old->rdonly == cur->rdonly && range_contains(&old->v, &cur->v) &&
	       ids_match(m, old->id, cur->id, 0) && ids_match(m, old->ref, cur->ref, 0);
}

static bool reg_matches(struct idmap *m, const struct vreg *old, const struct vreg *cur, enum vcompare how)
{
	bool exact = how == VCOMPARE_EXACT;

	if (old->type == VREG_NONE && !exact)
		return true;
	if (old->type != cur->type)
		return false;
	if (exact && (!range_equal(&old->v, &cur->v) || old->off != cur->off))
		return false;
	if (old->type == VREG_SCALAR) {
		if (exact)
			return true;
		return (how == VCOMPARE_PROVEN && !old->precise && !old->held) ||
		       (range_contains(&old->v, &cur->v) &&
			ids_match(m, old->id, cur->id, (s64)cur->delta - old->delta));
	}
	return old->type == VREG_NONE || pointers_match(m, old, cur, exact);
}

/* What a load of the spilled bytes would give; numbers only. */
static void spill_value(const struct vslot *s, u32 size, struct vreg *ret)
{
	if (s->spill.type == VREG_SCALAR && s->spill_size >= size)
		*ret = s->spill;
	else
		vreg_set_unknown(ret);
	vreg_truncate(ret, size);
}

static bool bytes_match(u8 old_mask, u64 old_bytes, u8 cur_mask, u64 cur_bytes)
{
	u32 i;

	if (old_mask & ~cur_mask)
		return false;
	for (i = 0; i < 8; i++)
		if (old_mask >> i & 1 && (old_bytes ^ cur_bytes) >> (i * 8) & 0xff)
			return false;
	return true;
}

static bool slot_matches(struct idmap *m, const struct vslot *old, const struct vslot *cur, enum vcompare how)
{
	bool exact = how == VCOMPARE_EXACT;
	struct vreg value;

	if (!old->init_mask && !exact)
		return true;
	if (vreg_is_pointer(&old->spill) || vreg_is_pointer(&cur->spill))
		return reg_matches(m, &old->spill, &cur->spill, how);
	if (how == VCOMPARE_PROVEN && !old->precise && !old->held)
		return true;
	if (exact && (old->spill.type != cur->spill.type || old->spill_size != cur->spill_size ||
		      old->known_mask != cur->known_mask || old->zero_mask != cur->zero_mask))
		return false;
	if (!bytes_match(old->known_mask, old->known, cur->known_mask, cur->known) ||
	    (old->zero_mask & ~cur->zero_mask))
		return false;
	if (old->spill.type != VREG_SCALAR)
		return true;
	spill_value(cur, old->spill_size, &value);
	if (exact)
		return range_equal(&old->spill.v, &value.v);
	return range_contains(&old->spill.v, &value.v) &&
	       ids_match(m, old->spill.id, value.id, (s64)value.delta - old->spill.delta);
}

static bool frames_match(struct idmap *m, const struct vframe *old, const struct vframe *cur,
			 u16 live, enum vcompare how)
{
	u32 n = old->nslots > cur->nslots ? old->nslots : cur->nslots;
	struct vslot empty;
	u32 i;

	if (old->func != cur->func || old->callsite != cur->callsite || old->callback != cur->callback)
		return false;
	/* fewer rounds are left than those that were walked */
	if (old->loop_depth > cur->loop_depth)
		return false;
	for (i = 0; i < 10; i++)
		if (live >> i & 1 && !reg_matches(m, &old->r[i], &cur->r[i], how))
			return false;
	memset(&empty, 0, sizeof(empty));
	vreg_set_none(&empty.spill);
	for (i = 0; i < n; i++) {
		if (how == VCOMPARE_PROVEN && !(old->read >> i & 1))
			continue;
		if (!slot_matches(m, i < old->nslots ? &old->slot[i] : &empty,
				  i < cur->nslots ? &cur->slot[i] : &empty, how))
			return false;
	}
	return true;
}

/* Registers that matter in frame f. */
static u16 live_regs(struct venv *env, const struct vstate *st, u32 f)
{
	u32 callsite;

	if (f + 1 == st->nframes)
		return env->live[st->pc];
	callsite = st->frame[f + 1]->callsite;
	/* behind a call only R6-R9 of the caller are as they were; a helper that calls back is called again */
	return st->frame[f + 1]->callback ? env->live[callsite] : env->live[callsite + 1] & 0x3c0;
}

bool vstates_equal(struct venv *env, const struct vnode *node, const struct vstate *cur, enum vcompare how)
{
	const struct vstate *old = &node->st;
	struct idmap ids = {0};
	u32 f, i;

	if (old->nframes != cur->nframes || old->nrefs != cur->nrefs || old->rcu != cur->rcu ||
	    old->preempt != cur->preempt)
		return false;
	for (f = 0; f < old->nframes; f++)
		if (!frames_match(&ids, old->frame[f], cur->frame[f], live_regs(env, old, f), how))
			return false;
	for (i = 0; i < old->nrefs; i++)
		if (!ids_match(&ids, old->ref[i].id, cur->ref[i].id, 0))
			return false;
	return true;
}
