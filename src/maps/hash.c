/* SPDX-License-Identifier: MIT */
/*
 * Hash and per-CPU hash, without locks. Semantics of kernel/bpf/hashtab.c with preallocated
 * elements.
 *
 * Problem. Threads of many processes use one map; any of them may be killed at any instruction, and
 * a signal handler may interrupt an operation and run another one on the same bucket in the same
 * thread. So nobody may ever have to wait for anybody.
 *
 *     bucket:  head ---> A ---> B(removed) ---> C ---> 0
 *
 * Each operation takes effect by ONE compare-and-swap of a versioned link (hash.h):
 *
 *     insert   head:    -> A          becomes  -> new (new -> A)
 *     delete   B.next:  -> C          becomes  -> C, removed
 *     replace  B.next:  -> C          becomes  -> new, removed      (new -> C)
 *
 * A removed element is then bypassed (link before it := what it points to) and given back, by who
 * removed it. Killed in between, it stays in the chain as a dead link that walks step over and the
 * next bypass cleans away.
 *
 * Rules.
 * 1. Walks check the link they came by again after reading an element (hash_walk). It is unchanged
 * and its own element not removed: then the element read was in the chain, and so was everything
 * removed on the way to it (removed links do not change while they are linked). Else the walk
 * starts over. Hence "not found" means that at one moment during the walk the key was not there.
 * 2. New keys enter at the head only, by a swap that fails if the head changed since the walk
 * began. A key that was absent during the walk can have come only through the head; so no key ever
 * gets a second element.
 * 3. A replacement takes the replaced element's place in the same step that removes it: no moment
 * without the key.
 * 4. Elements are never unmapped and versions never go back, so a late swap by a slow process fails
 * harmlessly.
 *
 * Values. A program's pointer into a value stays valid memory; after a delete the element may come
 * to serve another key, as in the kernel. Updates of an existing element:
 *   - up to 8 bytes: in place, by a swap of {link, value} together: fails when the element is no
 * longer this key's;
 *   - larger, and all CPUs at once (system call): a new element replaces it, readers see the old or
 * the new value;
 *   - one CPU's value by a program: in place like the kernel; that CPU's value has no other writer
 * but programs that were preempted there. (If the element is deleted and reused within those few
 * instructions the write lands in the new key's value of this CPU, just as through a looked-up
 * pointer.) A system call's lookup copies, then checks the element's use count, so it never mixes
 * two keys' values.
 *
 * Bounds. Element numbers are checked, steps and retries are counted: corrupted memory gives wrong
 * answers or -EBUSY, never a stray access or an endless loop.
 */
#include "maps/types.h"

#include <linux/errno.h>

#include "maps/hash_walk.h"
#include "maps/maps.h"

void *hash_value_at(const struct nt_map_view *v, struct hash_elem *e, u32 cpu)
{
	return hash_value(v, e, hash_is_small(v) ? 0 : cpu);
}

static inline __attribute__((always_inline)) void *lookup_sized(const struct nt_map_view *v,
								u32 cpu, const void *key, u32 ksize)
{
	u32 hash = key_hash(key, ksize, at_load(&hash_ctl(v)->seed));
	struct hash_pos pos;

	if (hash_walk(v, key, hash, ksize, &pos) <= 0)
		return NULL;
	return hash_is_small(v) ? (u8 *)&pos.elem->small : hash_value(v, pos.elem, cpu);
}

void *map_hash_lookup4(const struct nt_map_view *v, const void *key)
{
	return lookup_sized(v, 0, key, 4);
}

void *map_hash_lookup8(const struct nt_map_view *v, const void *key)
{
	return lookup_sized(v, 0, key, 8);
}

void *map_hash_lookup(const struct nt_map_view *v, const void *key)
{
	return lookup_sized(v, 0, key, v->key_size);
}

/* The hottest function of all maps: compiled for the two usual key sizes. */
void *hash_lookup(const struct nt_map_view *v, u32 cpu, const void *key)
{
	if (cpu >= v->ncpus)
		return NULL;
	switch (v->key_size) {
	case 4: return lookup_sized(v, cpu, key, 4);
	case 8: return lookup_sized(v, cpu, key, 8);
	default: return lookup_sized(v, cpu, key, v->key_size);
	}
}

int hash_sys_lookup(const struct nt_map_view *v, const void *key, void *value)
{
	u32 hash = hash_of(v, key), uses;
	struct hash_pos pos;

	for (u32 tries = HASH_TRIES; tries; tries--) {
		int found = hash_find(v, key, hash, &pos);

		if (found <= 0)
			return found ? -EBUSY : -ENOENT;
		uses = at_load_acq(&pos.elem->uses);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(&pos.elem->next) != pos.next)
			continue; /* perhaps reused already */
		hash_copy_out(v, pos.elem, value);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(&pos.elem->uses) == uses)
			return 0;
	}
	return -EBUSY;
}
