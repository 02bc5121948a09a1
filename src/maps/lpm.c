/* SPDX-License-Identifier: MIT */
/*
 * Longest prefix match. Semantics of kernel/bpf/lpm_trie.c; inside, a hash.
 *
 * A prefix is an element of a hash whose key is {length, data with the bits behind the length zeroed}. A look-up tries
 * the lengths that were ever stored (one bit each), longest first: with the few lengths of real tables that is as fast
 * as walking a trie, and every operation takes effect by the one swap of the hash, so nothing is new about killed
 * processes or concurrent readers. The data as it was given is kept behind the value, for who lists the keys.
 */
#include "maps/types.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "maps/hash.h"
#include "maps/hash_key.h"

#define LPM_DATA_MAX 256u
#define LPM_FLAGS                                                                                                      \
	(BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
#define LPM_PROG_ACCESS (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
#define LPM_VALUE_MAX ((4u << 20) - (4 + LPM_DATA_MAX) - 40u) /* KMALLOC_MAX_SIZE, sizeof(struct lpm_trie_node) */

struct lpm_key {
	u32 len; /* bits */
	u8 data[LPM_DATA_MAX];
};

static u32 lpm_data_size(const struct nt_map_view *v)
{
	return v->key_size - 4;
}

/* The hash inside: values with the data behind them. */
static struct nt_map_view lpm_hash(const struct nt_map_view *v)
{
	struct nt_map_view h = *v;

	h.type = BPF_MAP_TYPE_HASH;
	h.value_size = bits_round_up(v->value_size, 8u) + lpm_data_size(v);
	h.value_stride = bits_round_up(h.value_size, 8u);
	return h;
}

/* trie_alloc() */
int lpm_geometry(struct nt_map_view *v)
{
	struct nt_map_view h;
	int r;

	if (!v->max_entries || !(v->flags & BPF_F_NO_PREALLOC) || v->flags & ~LPM_FLAGS ||
	    (v->flags & LPM_PROG_ACCESS) == LPM_PROG_ACCESS || v->key_size < 5 || v->key_size > 4 + LPM_DATA_MAX ||
	    !v->value_size || v->value_size > LPM_VALUE_MAX)
		return -EINVAL;
	h = lpm_hash(v);
	r = hash_layout(&h);
	if (r < 0)
		return r;
	h.type = v->type;
	h.value_size = v->value_size;
	*v = h;
	return 0;
}

/* A bit per length; when they are too many for the words that there are, one for eight. */
static u32 lpm_shift(const struct nt_map_view *v)
{
	return 8 * lpm_data_size(v) < 64 * bits_count(((struct hash_ctl *)0)->used) ? 0 : 3;
}

static u64 *lpm_used(const struct nt_map_view *v, u32 len, u64 *ret_mask)
{
	u32 bit = len >> lpm_shift(v);

	*ret_mask = 1ull << (bit % 64);
	return &hash_ctl(v)->used[bit / 64];
}

static void lpm_mask(const struct nt_map_view *v, const u8 *data, u32 len, struct lpm_key *ret)
{
	u32 size = lpm_data_size(v), whole = len / 8;

	ret->len = len;
	mem_copy(ret->data, data, bits_min(whole, size));
	if (whole >= size)
		return;
	mem_zero(ret->data + whole, size - whole);
	if (len % 8)
		ret->data[whole] = (u8)(data[whole] & (0xff00u >> len % 8));
}

static void *lpm_exact(const struct nt_map_view *h, const u8 *data, u32 len)
{
	struct lpm_key k;

	lpm_mask(h, data, len, &k);
	return hash_lookup(h, 0, &k);
}

/* trie_lookup_elem() */
void *lpm_lookup(const struct nt_map_view *v, const void *key)
{
	struct nt_map_view h = lpm_hash(v);
	u32 len = *(const key_half *)key;
	u32 shift = lpm_shift(v);
	const u8 *data = (const u8 *)key + 4;

	if (len > 8 * lpm_data_size(v))
		return NULL;
	for (s32 at = (s32)len; at >= 0;) {
		u64 mask, *word = lpm_used(v, (u32)at, &mask);
		void *value;

		if (!(at_load(word) & mask)) { /* none of those that share the bit */
			at = (at >> shift << shift) - 1;
			continue;
		}
		value = lpm_exact(&h, data, (u32)at);
		if (value)
			return value;
		at--;
	}
	return NULL;
}

/* trie_update_elem() */
int lpm_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key, const void *value, u64 flags)
{
	struct nt_map_view h = lpm_hash(v);
	u32 len = *(const key_half *)key;
	const u8 *data = (const u8 *)key + 4;
	u64 mask, *used;
	struct lpm_key k;
	int r;

	if (flags > BPF_EXIST || len > 8 * lpm_data_size(v))
		return -EINVAL;
	used = lpm_used(v, len, &mask);
	if (!(at_load(used) & mask))
		__atomic_fetch_or(used, mask, __ATOMIC_SEQ_CST);
	lpm_mask(v, data, len, &k);
	r = hash_update_tailed(&h, c, &k, value, v->value_size, data, lpm_data_size(v), flags);
	return r == -E2BIG ? -ENOSPC : r;
}

/* trie_delete_elem() */
int lpm_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key)
{
	struct nt_map_view h = lpm_hash(v);
	u32 len = *(const key_half *)key;
	struct lpm_key k;

	if (len > 8 * lpm_data_size(v))
		return -EINVAL;
	lpm_mask(v, (const u8 *)key + 4, len, &k);
	return hash_delete(&h, c, &k, NULL);
}

int lpm_sys_lookup(const struct nt_map_view *v, const void *key, void *value)
{
	const void *from = lpm_lookup(v, key);

	if (!from)
		return -ENOENT;
	mem_copy(value, from, v->value_size);
	return 0;
}

/* In the order of the hash; the kernel lists the longest prefixes first. */
int lpm_next_key(const struct nt_map_view *v, const void *key, void *next)
{
	struct nt_map_view h = lpm_hash(v);
	struct lpm_key k;
	const u8 *value;
	u32 len = 0;
	int r;

	if (key)
		len = *(const key_half *)key;
	if (key && len <= 8 * lpm_data_size(v)) {
		lpm_mask(v, (const u8 *)key + 4, len, &k);
		key = &k;
	} else {
		key = NULL;
	}
	r = hash_next_key(&h, key, next);
	value = r ? NULL : hash_lookup(&h, 0, next);
	if (value)
		mem_copy((u8 *)next + 4, value + h.value_size - lpm_data_size(v), lpm_data_size(v));
	return r;
}
