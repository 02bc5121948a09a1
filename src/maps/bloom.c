/* SPDX-License-Identifier: MIT */
/*
 * Bloom filter: a bit set; every value has a few bits of it. Nothing is ever taken out, so setting bits one by one
 * needs no more than that. Follows kernel/bpf/bloom_filter.c.
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/syscall.h"
#include "maps/hash_key.h"
#include "maps/types.h"

#define BLOOM_FLAGS                                                                                                    \
	(BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
#define BLOOM_PROG_ACCESS (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
#define BLOOM_HASHES 5u
#define BLOOM_BITS_MAX (1ull << 31)

struct bloom_ctl {
	u64 seed;
	u64 pad[7];
};

/* bloom_map_alloc() */
int bloom_geometry(struct nt_map_view *v)
{
	u64 bits;

	if (v->value_size > MAP_KMALLOC_MAX) /* bloom_map_alloc_check(), before all else */
		return -E2BIG;
	if (v->key_size || !v->value_size || !v->max_entries || v->flags & ~BLOOM_FLAGS || v->extra & ~0xfull ||
	    (v->flags & BLOOM_PROG_ACCESS) == BLOOM_PROG_ACCESS)
		return -EINVAL;
	v->ncpus = 1;
	v->elem_size = v->extra ? (u32)v->extra : BLOOM_HASHES;
	bits = bits_pow2_ceil((u64)v->max_entries * v->elem_size * 7 / 5);
	bits = bits_max(bits, 64ull);
	v->nbuckets = (u32)(bits_min(bits, BLOOM_BITS_MAX) - 1);
	v->value_stride = v->value_size;
	v->ctl_off = 0;
	v->data_off = sizeof(struct bloom_ctl);
	v->size = bits_round_up(v->data_off + ((u64)v->nbuckets + 1) / 8, (u64)NT_PAGE);
	return 0;
}

static struct bloom_ctl *bloom_ctl(const struct nt_map_view *v)
{
	return (struct bloom_ctl *)(void *)(v->base + v->ctl_off);
}

void bloom_init(const struct nt_map_view *v)
{
	u64 seed = 0;

	if (!(v->flags & BPF_F_ZERO_SEED))
		sys_call3(__NR_getrandom, (u64)&seed, sizeof(seed), 0);
	at_store(&bloom_ctl(v)->seed, seed);
}

/* The word and the mask of one of the value's bits. */
static u64 *bloom_bit(const struct nt_map_view *v, const void *value, u32 i, u64 *ret_mask)
{
	/* Seeds far apart: neighbouring values under neighbouring seeds would have the same bits. */
	u64 seed = at_load(&bloom_ctl(v)->seed) + (i + 1) * KEY_MUL_LAST;
	u32 bit = key_hash(value, v->value_size, seed) & v->nbuckets;

	*ret_mask = 1ull << (bit % 64);
	return (u64 *)(void *)(v->base + v->data_off) + bit / 64;
}

int bloom_push(const struct nt_map_view *v, const void *value, u64 flags)
{
	u64 mask, *word;

	if (flags != BPF_ANY)
		return -EINVAL;
	for (u32 i = 0; i < v->elem_size; i++) {
		word = bloom_bit(v, value, i, &mask);
		if (!(at_load(word) & mask))
			__atomic_fetch_or(word, mask, __ATOMIC_RELAXED);
	}
	return 0;
}

int bloom_peek(const struct nt_map_view *v, const void *value)
{
	u64 mask, *word;

	for (u32 i = 0; i < v->elem_size; i++) {
		word = bloom_bit(v, value, i, &mask);
		if (!(at_load(word) & mask))
			return -ENOENT;
	}
	return 0;
}
