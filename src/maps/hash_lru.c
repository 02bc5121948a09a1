/* SPDX-License-Identifier: MIT */
/*
 * LRU hashes: a hash that throws out instead of refusing (kernel/bpf/bpf_lru_list.c, approximately as there).
 *
 * Every element has a few marks; each use adds one, up to LRU_MARKS. A hand goes round the elements, takes a mark away
 * from each and throws out the first that has none: what was used least in the last rounds. An element that is thrown
 * out is removed as by a deletion, after it was found in its bucket, because an element that somebody is just filling
 * looks alike.
 */
#include "maps/types.h"

#include "base/bits.h"
#include "maps/hash_walk.h"

#define LRU_MARKS 3u
/* Rounds of the hand that one operation pays for: to take all marks away, to find somebody, and one to spare. */
#define LRU_ROUNDS (LRU_MARKS + 2)

void *hash_lru_lookup(const struct nt_map_view *v, u32 cpu, const void *key)
{
	struct hash_pos pos;
	u8 *mark, marks;

	if (cpu >= v->ncpus || hash_find(v, key, hash_of(v, key), &pos) <= 0)
		return NULL;
	mark = hash_used_mark(v, pos.idx);
	marks = at_load(mark);
	if (marks < LRU_MARKS) /* others have the line too: written only when it changes */
		at_store(mark, (u8)(marks + 1));
	return hash_value_at(v, pos.elem, cpu);
}

/* The element idx in the bucket that it says it is in: 1 found (all of ret_pos is set), 0 it is not there. */
static int lru_find(const struct nt_map_view *v, u32 hash, u32 target, struct hash_pos *ret_pos)
{
	u64 *head = hash_head(v, hash), *prev = head;
	u64 was = at_load_acq(head);
	u32 idx = link_index(was), steps = HASH_STEPS;

	while (idx && steps--) {
		struct hash_elem *e = hash_elem(v, idx);
		u64 next;

		if (!e)
			return 0;
		next = at_load_acq(&e->next);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(prev) != was) {
			prev = head;
			was = at_load_acq(head);
			idx = link_index(was);
			continue;
		}
		if (!(next & HASH_REMOVED)) {
			if (idx == target) {
				*ret_pos = (struct hash_pos){prev, was, 0, e, idx, next};
				return 1;
			}
			prev = &e->next;
			was = next;
		}
		idx = link_index(next);
	}
	return 0;
}

static bool lru_throw_out(const struct nt_map_view *v, const struct nt_caller *c, u32 idx)
{
	u32 hash = at_load(&hash_elem_known(v, idx)->hash), ticket;
	struct hash_pos pos;
	bool done;

	if (lru_find(v, hash, idx, &pos) <= 0)
		return false;
	ticket = hash_pool_enter(v, c);
	done = hash_take_out(v, c, hash, &pos, NULL);
	hash_pool_leave(v, c, ticket);
	return done;
}

bool hash_lru_evict(const struct nt_map_view *v, const struct nt_caller *c)
{
	u64 n = (u64)v->max_entries + HASH_SPARES, *hand = &hash_ctl(v)->hand;

	for (u64 steps = n * LRU_ROUNDS; steps; steps--) {
		u32 idx = (u32)(at_add(hand, 1ull) % n) + 1;
		struct hash_elem *e = hash_elem_known(v, idx);
		u8 *mark = hash_used_mark(v, idx), marks;

		if (!at_load(&e->uses) || at_load(&e->next) & HASH_REMOVED)
			continue;
		marks = at_load(mark);
		if (marks)
			at_store(mark, (u8)(bits_min(marks, LRU_MARKS) - 1));
		else if (lru_throw_out(v, c, idx))
			return true;
		/* Somebody else may have made room. */
		if (steps % 64 == 0 && hash_pool_has(v, c->cpu))
			return true;
	}
	return hash_pool_has(v, c->cpu);
}
