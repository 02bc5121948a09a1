/* SPDX-License-Identifier: MIT */
/*
 * Many elements of a hash at once, bucket by bucket as htab_map_lookup_batch(): where to go on is the number of a bucket.
 * A bucket is copied by the rules of hash.c, and once more from its head when it changed meanwhile.
 */
#include "maps/types.h"

#include <linux/errno.h>

#include "maps/hash_walk.h"
#include "maps/maps.h"

/* All elements of a bucket. 0; -EAGAIN: it changed; -ENOSPC; -EBUSY. */
static int bucket_copy(const struct nt_map_view *v, u32 bucket, u8 *keys, u8 *values, u32 room, u32 *ret_n)
{
	u64 *head = hash_head(v, bucket), *prev = head, was = at_load_acq(head);
	u32 idx = link_index(was), steps = HASH_STEPS, n = 0, size = map_syscall_size(v);

	while (idx) {
		struct hash_elem *e = hash_elem(v, idx);
		u64 next;
		u32 uses;

		if (!e || !steps--)
			return -EBUSY;
		next = at_load_acq(&e->next);
		uses = at_load_acq(&e->uses);
		if (!(next & HASH_REMOVED)) {
			if (n == room)
				return -ENOSPC;
			mem_copy(keys + (u64)n * v->key_size, e->key, v->key_size);
			hash_copy_out(v, e, values + (u64)n * size);
			n++;
		}
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(prev) != was || at_load(&e->uses) != uses)
			return -EAGAIN;
		if (!(next & HASH_REMOVED)) {
			prev = &e->next;
			was = next;
		}
		idx = link_index(next);
	}
	*ret_n = n;
	return 0;
}

int map_hash_batch(const struct nt_map_view *v, u32 *bucket, void *keys, void *values, u32 *count)
{
	u32 room = *count, n = 0, at = *bucket, size = map_syscall_size(v);
	int r = 0;

	for (; at < v->nbuckets; at++) { /* with no room left, too: what follows may be empty */
		u32 got = 0;

		r = -EAGAIN;
		for (u32 tries = HASH_TRIES; r == -EAGAIN && tries; tries--)
			r = bucket_copy(v, at, (u8 *)keys + (u64)n * v->key_size, (u8 *)values + (u64)n * size, room - n, &got);
		if (r)
			break;
		n += got;
	}
	*bucket = at;
	*count = n;
	if (r == -ENOSPC && n)
		return 0;
	if (r)
		return r == -EAGAIN ? -EBUSY : r;
	return at < v->nbuckets ? 0 : -ENOENT;
}
