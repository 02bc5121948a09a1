/* SPDX-License-Identifier: MIT */
/*
 * Inside of the hash maps: what lies where in the shared file, and the links that hold it together.
 *
 *     [struct hash_ctl][bucket heads: u64 x nbuckets][elements: elem_size x (max_entries +
 * HASH_SPARES)]
 *
 * Elements have numbers from 1; 0 is the end of a list. A link is one word:
 *
 *     bit  63       62 .. 32     31 .. 0
 *         removed |  version  |  number of the next element
 *
 * Every change of a link, in whatever list its element is, makes the version one higher, so a
 * compare-and-swap succeeds only if nothing happened in between. "removed" in an element's link
 * means that this element (not the one it points to) is deleted; such a link does not change any
 * more until the element is used again.
 */
#pragma once

#include <linux/bpf.h>

#include "abi/map.h"
#include "base/atomic.h"
#include "base/bits.h"

#define HASH_STRIPES 16u
#define HASH_SPARES 256u      /* elements for replacements under way, beyond max_entries */
#define HASH_STEPS (1u << 16) /* of one operation, then -EBUSY: only corrupted memory gets there   \
			       */

#define HASH_REMOVED (1ull << 63)

/* Free elements are of two classes, which keep their sizes: an insertion takes an ENTRY and a
 * deletion gives one back, a replacement takes a SPARE and gives back the replaced one. So ENTRY is
 * empty exactly when the map is full. */
enum hash_class { HASH_ENTRY, HASH_SPARE, HASH_CLASSES };

struct hash_list {
	u64 top;    /* link to the first element that was given back */
	u32 fresh;  /* elements of this stripe's share handed out for the first time */
	u32 pad;
};

struct hash_ctl {
	u64 seed;
	u64 hand;    /* LRU: where the next element to throw out is looked for (hash_lru.c) */
	u64 used[5]; /* LPM trie: a bit per prefix length that was ever stored (lpm.c) */
	u64 pad;
	struct {
		struct hash_list list[HASH_CLASSES];
		u64 moving; /* operations that may hold an ENTRY outside both the free lists and
			       the buckets: hash_pool.c */
		u32 holder; /* tid of the first of them that is not through, 0 = unknown */
		u32 pad[5];
	} stripe[HASH_STRIPES]; /* by CPU, so that CPUs do not share a line */
};
_Static_assert(sizeof(struct hash_ctl) == 64 + 64 * HASH_STRIPES, "one cache line each");

struct hash_elem {
	u64 next;
	u64 small; /* the value of a hash with values of up to 8 bytes: changed together with a
		      check of next */
	u32 hash;
	u32 uses; /* +1 whenever the element is filled for another key or value */
	u8 key[]; /* then, at hash_value_off(), larger values or one value per CPU */
};
_Static_assert(sizeof(struct hash_elem) == 24, "key at 24");

static inline u32 link_index(u64 link)
{
	return (u32)link;
}

/* A link to element idx that follows `was` in the same word. */
static inline u64 link_after(u64 was, u32 idx, u64 removed)
{
	return (((was >> 32) + 1) << 32 & ~HASH_REMOVED) | removed | idx;
}

static inline struct hash_ctl *hash_ctl(const struct nt_map_view *v)
{
	return (struct hash_ctl *)(void *)(v->base + v->ctl_off);
}

static inline u64 *hash_head(const struct nt_map_view *v, u32 hash)
{
	u64 *heads = (u64 *)(void *)(v->base + v->ctl_off + sizeof(struct hash_ctl));

	return heads + (hash & (v->nbuckets - 1));
}

/* idx is known to be in range: it was checked by hash_elem() or comes from hash_pool_take(). */
static inline struct hash_elem *hash_elem_known(const struct nt_map_view *v, u32 idx)
{
	return (struct hash_elem *)(void *)(v->base + v->data_off + (u64)(idx - 1) * v->elem_size);
}

/* NULL: no such element, the number was written by nobody of us. */
static inline struct hash_elem *hash_elem(const struct nt_map_view *v, u32 idx)
{
	if (__builtin_expect((u64)idx - 1 >= (u64)v->max_entries + HASH_SPARES, 0))
		return NULL;
	return hash_elem_known(v, idx);
}

static inline bool hash_is_percpu(const struct nt_map_view *v)
{
	return v->type == BPF_MAP_TYPE_PERCPU_HASH || v->type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static inline bool hash_is_lru(const struct nt_map_view *v)
{
	return v->type == BPF_MAP_TYPE_LRU_HASH || v->type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* LRU: how often the element was used lately (hash_lru.c). */
static inline u8 *hash_used_mark(const struct nt_map_view *v, u32 idx)
{
	u64 heads = (u64)v->nbuckets * sizeof(u64);

	return v->base + v->ctl_off + sizeof(struct hash_ctl) + heads + (idx - 1);
}

#define HASH_TRIES (1u << 12) /* that others may win before it is -EBUSY */

/* The value lies in elem->small. */
static inline bool hash_is_small(const struct nt_map_view *v)
{
	return !hash_is_percpu(v) && v->value_size <= 8;
}

static inline u64 hash_value_off(const struct nt_map_view *v)
{
	return hash_is_small(v)
		   ? offsetof(struct hash_elem, small)
		   : bits_round_up(offsetof(struct hash_elem, key) + (u64)v->key_size, 8ull);
}

static inline u8 *hash_value(const struct nt_map_view *v, struct hash_elem *e, u32 cpu)
{
	return (u8 *)e + hash_value_off(v) + (u64)cpu * v->value_stride;
}

struct hash_pos;
/* hash_take.c: the element that pos says was removed, and its link now leads to succ. True: it is out of the chain, free to
 * be given back. */
bool hash_bypass(const struct nt_map_view *v, u32 hash, struct hash_pos *pos, u32 succ);
/* The value, of all CPUs, as the system call has it. */
void hash_copy_out(const struct nt_map_view *v, struct hash_elem *e, void *value);
/* pos->elem, found in its bucket, is removed if nothing has changed since. value, when not NULL, gets what it
 * held. Between hash_pool_enter() and _leave(). */
bool hash_take_out(const struct nt_map_view *v, const struct nt_caller *c, u32 hash, struct hash_pos *pos, void *value);
/* hash_lru.c: makes room in a full map. False: there was nothing to throw out. */
bool hash_lru_evict(const struct nt_map_view *v, const struct nt_caller *c);

/* Free elements (hash_pool.c). stripe is below HASH_STRIPES. */

/* An element of the class for the caller alone, 0 = there is none. */
u32 hash_pool_take(const struct nt_map_view *v, u32 stripe, enum hash_class class);
void hash_pool_give(const struct nt_map_view *v, u32 stripe, enum hash_class class, u32 idx);

/* Is there an ENTRY to take? Writes nothing. */
bool hash_pool_has(const struct nt_map_view *v, u32 stripe);

/* Around every operation that takes an ENTRY to link it, or unlinks one to give it back. What enter
 * returns belongs into leave. */
u32 hash_pool_enter(const struct nt_map_view *v, const struct nt_caller *c);
void hash_pool_leave(const struct nt_map_view *v, const struct nt_caller *c, u32 ticket);

/* For who finds no ENTRY: was that because others are between enter and leave? Zero-initialised. */
struct hash_patience {
	u32 rounds;
	u32 entered; /* of all stripes, when last asked */
	u16 busy;    /* stripes in motion when last asked */
	u16 unseen;  /* stripes in motion ever since the lap began */
	u32 laps;
};
/* Called after the key was not found and hash_pool_has() said no (or the taking failed). True: look
 * for both once more. False: the map is full. */
bool hash_pool_wait(const struct nt_map_view *v, const struct nt_caller *c,
		    struct hash_patience *p);
