/* SPDX-License-Identifier: MIT */
/*
 * Walking a bucket while others change it. The rules, and why they are enough, are in hash.c.
 */
#pragma once

#include "maps/hash.h"
#include "maps/hash_key.h"

/* Where a walk ended. */
struct hash_pos {
	u64 *prev; /* the link that led to elem, perhaps through removed elements */
	u64 prev_was;
	u64 head_was; /* the bucket's head when this walk began */
	struct hash_elem *elem;
	u32 idx;
	u64 next; /* elem's link */
};

/*
 * 1: the key is in the map, all of ret_pos is set. 0: it is not (head_was is set). Negative: gave
 * up. Never writes. ksize is v->key_size, a constant where that makes the comparison fast.
 */
static inline __attribute__((always_inline)) int hash_walk(const struct nt_map_view *v,
							   const void *key, u32 hash, u32 ksize,
							   struct hash_pos *ret_pos)
{
	u64 *head = hash_head(v, hash), *prev = head;
	u64 was = at_load_acq(head), head_was = was;
	u32 idx = link_index(was), steps = HASH_STEPS;

	while (idx) {
		struct hash_elem *e = hash_elem(v, idx);
		u64 next;
		bool same;

		if (__builtin_expect(!e || !steps--, 0))
			return -1;
		next = at_load_acq(&e->next);
		same = key_equal(e->key, key, ksize);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__builtin_expect(at_load(prev) != was, 0)) {
			prev = head;
			was = head_was = at_load_acq(head);
			idx = link_index(was);
			continue;
		}
		if (!(next & HASH_REMOVED)) {
			if (same) {
				*ret_pos = (struct hash_pos){prev, was, head_was, e, idx, next};
				return 1;
			}
			prev = &e->next;
			was = next;
		}
		idx = link_index(next);
	}
	ret_pos->head_was = head_was;
	return 0;
}

static inline int hash_find(const struct nt_map_view *v, const void *key, u32 hash,
			    struct hash_pos *ret_pos)
{
	switch (v->key_size) {
	case 4: return hash_walk(v, key, hash, 4, ret_pos);
	case 8: return hash_walk(v, key, hash, 8, ret_pos);
	default: return hash_walk(v, key, hash, v->key_size, ret_pos);
	}
}

static inline u32 hash_of(const struct nt_map_view *v, const void *key)
{
	u64 seed = at_load(&hash_ctl(v)->seed);

	switch (v->key_size) {
	case 4: return key_hash(key, 4, seed);
	case 8: return key_hash(key, 8, seed);
	default: return key_hash(key, v->key_size, seed);
	}
}
