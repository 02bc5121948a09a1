/* SPDX-License-Identifier: MIT */
/* The keys of a hash, one after the other. An element deleted and inserted again may turn up twice. */
#include "maps/types.h"

#include <linux/errno.h>

#include "maps/hash_walk.h"

/* The key of the first element behind a link. 1: copied, 0: end of the chain, -EAGAIN: the chain
 * changed. */
static int hash_key_behind(const struct nt_map_view *v, const u64 *prev, u64 was, void *ret_key)
{
	u32 idx = link_index(was), steps = HASH_STEPS;

	while (idx) {
		struct hash_elem *e = hash_elem(v, idx);
		u64 next;

		if (!e || !steps--)
			return -EBUSY;
		next = at_load_acq(&e->next);
		if (!(next & HASH_REMOVED))
			mem_copy(ret_key, e->key, v->key_size);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(prev) != was)
			return -EAGAIN;
		if (!(next & HASH_REMOVED))
			return 1;
		idx = link_index(next);
	}
	return 0;
}

/* The key behind `key` in its own bucket; 0 and *ret_bucket: go on with that bucket. */
static int hash_next_in_bucket(const struct nt_map_view *v, const void *key, void *next,
			       u32 *ret_bucket)
{
	u32 hash = hash_of(v, key);
	struct hash_pos pos;
	int r = -EAGAIN;

	for (u32 tries = HASH_TRIES; r == -EAGAIN && tries; tries--) {
		r = hash_find(v, key, hash, &pos);
		if (r < 0)
			return -EBUSY;
		if (!r) {
			*ret_bucket = 0;
			return 0;
		}
		r = hash_key_behind(v, &pos.elem->next, pos.next, next);
	}
	if (!r)
		*ret_bucket = (hash & (v->nbuckets - 1)) + 1;
	return r;
}

/* htab_map_get_next_key() */
int hash_next_key(const struct nt_map_view *v, const void *key, void *next)
{
	u32 bucket = 0;
	int r = key ? hash_next_in_bucket(v, key, next, &bucket) : 0;

	for (; !r && bucket < v->nbuckets; bucket++) {
		u64 *head = hash_head(v, bucket);

		r = -EAGAIN;
		for (u32 tries = HASH_TRIES; r == -EAGAIN && tries; tries--)
			r = hash_key_behind(v, head, at_load_acq(head), next);
	}
	if (!r)
		return -ENOENT;
	return r > 0 ? 0 : -EBUSY;
}

bool hash_chain_next(const struct nt_map_view *v, u32 bucket, u64 *link, void *ret_key)
{
	u64 was = *link ? *link : at_load_acq(hash_head(v, bucket));

	for (u32 steps = HASH_STEPS; steps && link_index(was); steps--) {
		struct hash_elem *e = hash_elem(v, link_index(was));

		if (!e)
			return false;
		was = at_load_acq(&e->next);
		mem_copy(ret_key, e->key, v->key_size);
		if (was & HASH_REMOVED)
			continue;
		*link = was ? was : HASH_REMOVED; /* the end of the chain */
		return true;
	}
	return false;
}
