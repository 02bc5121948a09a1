/* SPDX-License-Identifier: MIT */
/*
 * bpf_for_each_map_elem: one element after the other, while others (and the caller itself) change
 * the map. Follows bpf_for_each_array_elem() and bpf_for_each_hash_elem(): an element that comes or
 * goes meanwhile is seen or not; none that stays is missed or seen twice.
 *
 * The step to the next element is read before the element is handed out, because the caller may
 * delete it. It may then serve another bucket by the time we go on: such a chain is left.
 */
#include "payload/map_each.h"

#include <linux/bpf.h>

#include "maps/hash.h"
#include "maps/maps.h"

static bool each_array(const struct nt_map_view *v, const struct nt_caller *c, struct map_each *e)
{
	if (e->at >= v->max_entries)
		return false;
	e->index = e->at++;
	e->key = &e->index;
	e->value = map_lookup(v, c, e->key);
	return e->value;
}

static bool each_hash(const struct nt_map_view *v, const struct nt_caller *c, struct map_each *e)
{
	for (; e->at < v->nbuckets; e->at++, e->inside = false) {
		u32 steps = HASH_STEPS;

		if (!e->inside)
			e->next = link_index(at_load_acq(hash_head(v, e->at)));
		e->inside = true;
		while (e->next && steps--) {
			struct hash_elem *elem = hash_elem(v, e->next);
			u64 next;

			if (!elem)
				break;
			next = at_load_acq(&elem->next);
			if ((at_load(&elem->hash) & (v->nbuckets - 1)) != e->at)
				break;
			e->next = link_index(next);
			if (next & HASH_REMOVED)
				continue;
			e->key = elem->key;
			e->value = map_lookup(v, c, e->key);
			if (e->value)
				return true;
		}
	}
	return false;
}

bool map_each_next(const struct nt_map_view *v, const struct nt_caller *c, struct map_each *e)
{
	switch (v->type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY: return each_array(v, c, e);
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return each_hash(v, c, e);
	default: return false;
	}
}
