/* SPDX-License-Identifier: MIT */
/* Taking elements out of a hash: remove, bypass, give back (hash.c has the rules). */
#include "maps/types.h"

#include <linux/errno.h>

#include "maps/hash_walk.h"

/*
 * Goes through the whole bucket and bypasses every run of removed elements. True: finished, so no
 * element that was removed before is linked any more. False: gave up (corrupted memory).
 */
static bool hash_sweep(const struct nt_map_view *v, u32 hash)
{
	u64 *head = hash_head(v, hash), *prev = head;
	u64 was = at_load_acq(head);
	u32 idx = link_index(was), steps = HASH_STEPS;

	for (;;) {
		struct hash_elem *e = idx ? hash_elem(v, idx) : NULL;
		u64 next = e ? at_load_acq(&e->next) : 0;

		if ((idx && !e) || !steps--)
			return false;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(prev) != was)
			goto again;
		if (next & HASH_REMOVED) {
			idx = link_index(next);
			continue;
		}
		if (idx != link_index(was) && !at_cas(prev, &was, link_after(was, idx, 0)))
			goto again;
		if (!idx)
			return true;
		prev = &e->next;
		was = next;
		idx = link_index(next);
		continue;
	again:
		prev = head;
		was = at_load_acq(head);
		idx = link_index(was);
	}
}

bool hash_bypass(const struct nt_map_view *v, u32 hash, struct hash_pos *pos, u32 succ)
{
	u64 was = pos->prev_was;

	if (link_index(was) == pos->idx && at_cas(pos->prev, &was, link_after(was, succ, 0)))
		return true;
	return hash_sweep(v, hash);
}

void hash_copy_out(const struct nt_map_view *v, struct hash_elem *e, void *value)
{
	if (hash_is_small(v)) {
		u64 word = at_load(&e->small);

		mem_copy(value, &word, v->value_size);
	} else {
		mem_copy(value, hash_value(v, e, 0),
			 hash_is_percpu(v) ? (u64)v->value_stride * v->ncpus : v->value_size);
	}
}

bool hash_take_out(const struct nt_map_view *v, const struct nt_caller *c, u32 hash, struct hash_pos *pos, void *value)
{
	u32 succ = link_index(pos->next);

	if (!at_cas(&pos->elem->next, &pos->next, link_after(pos->next, succ, HASH_REMOVED)))
		return false;
	if (value)
		hash_copy_out(v, pos->elem, value);
	if (hash_bypass(v, hash, pos, succ))
		hash_pool_give(v, c->cpu, HASH_ENTRY, pos->idx);
	return true;
}

int hash_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		void *value)
{
	u32 hash = hash_of(v, key), ticket = 0;
	struct hash_pos pos;
	bool entered = false;
	int r = -EBUSY;

	for (u32 tries = HASH_TRIES; tries; tries--) {
		int found = hash_find(v, key, hash, &pos);

		if (found <= 0) {
			r = found ? -EBUSY : -ENOENT;
			break;
		}
		if (!entered)
			ticket = hash_pool_enter(v, c);
		entered = true;
		if (!hash_take_out(v, c, hash, &pos, value))
			continue;
		r = 0;
		break;
	}
	if (entered)
		hash_pool_leave(v, c, ticket);
	return r;
}
