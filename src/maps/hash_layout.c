/* SPDX-License-Identifier: MIT */
/* Hashes: what may be created, and where things lie. */
#include "maps/types.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/bits.h"
#include "base/syscall.h"
#include "maps/hash.h"

#define HASH_FLAGS                                                                                 \
	(BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG |   \
	 BPF_F_WRONLY_PROG | BPF_F_ZERO_SEED | BPF_F_NO_COMMON_LRU)
#define HASH_PROG_ACCESS (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
#define HASH_KERNEL_KMALLOC_MAX (4u << 20) /* KMALLOC_MAX_SIZE */
#define HASH_KERNEL_ELEM 48u		   /* sizeof(struct htab_elem) */
#define HASH_KERNEL_BUCKETS_MAX (1u << 27)

/* htab_map_alloc_check() and htab_map_alloc() */
int hash_geometry(struct nt_map_view *v)
{
	bool percpu = hash_is_percpu(v), lru = hash_is_lru(v), lists = v->flags & BPF_F_NO_COMMON_LRU;

	if ((v->flags & ~HASH_FLAGS) || (v->flags & HASH_PROG_ACCESS) == HASH_PROG_ACCESS)
		return -EINVAL;
	if (!lru && lists)
		return -EINVAL;
	if (lru && v->flags & BPF_F_NO_PREALLOC)
		return -NT_ENOTSUPP;
	if ((percpu || lists) && (v->flags & BPF_F_NUMA_NODE))
		return -EINVAL;
	if (!v->max_entries || !v->key_size || !v->value_size || (percpu && !v->ncpus))
		return -EINVAL;
	if ((u64)v->key_size + v->value_size >= HASH_KERNEL_KMALLOC_MAX - HASH_KERNEL_ELEM)
		return -E2BIG;
	if (percpu && bits_round_up(v->value_size, 8u) > MAP_PERCPU_VALUE_MAX)
		return -E2BIG;
	return hash_layout(v);
}

int hash_layout(struct nt_map_view *v)
{
	u64 elem, heads, marks = hash_is_lru(v) ? (u64)v->max_entries + HASH_SPARES : 0;

	if (v->max_entries > HASH_KERNEL_BUCKETS_MAX)
		return -E2BIG;
	if (!hash_is_percpu(v))
		v->ncpus = 1;
	v->value_stride = bits_round_up(v->value_size, 8u);
	elem = hash_is_small(v) ? sizeof(struct hash_elem) + v->key_size
				: hash_value_off(v) + (u64)v->value_stride * v->ncpus;
	elem = bits_round_up(elem, 16ull); /* pair_cas() */
	if (elem > 0x7fffffffu)
		return -ENOMEM;
	v->elem_size = (u32)elem;
	v->nbuckets = (u32)bits_pow2_ceil(v->max_entries);
	v->ctl_off = 0;
	heads = (u64)v->nbuckets * sizeof(u64);
	v->data_off = bits_round_up(sizeof(struct hash_ctl) + heads + marks, (u64)64);
	if (elem * ((u64)v->max_entries + HASH_SPARES) > MAP_SIZE_MAX)
		return -ENOMEM;
	v->size =
	    bits_round_up(v->data_off + elem * ((u64)v->max_entries + HASH_SPARES), (u64)NT_PAGE);
	return 0;
}

void hash_init(const struct nt_map_view *v)
{
	u64 seed = 0;

	if (!(v->flags & BPF_F_ZERO_SEED))
		sys_call3(__NR_getrandom, (u64)&seed, sizeof(seed), 0);
	at_store(&hash_ctl(v)->seed, seed);
}
