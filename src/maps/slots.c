/* SPDX-License-Identifier: MIT */
/*
 * Arrays whose elements are other objects: perf event array, program array, cgroup array. The system call stores
 * descriptors, the broker turns them into one word per element (0 = empty) that processes can make something of, and
 * keeps the objects alive. Programs never write them. Follows kernel/bpf/arraymap.c (fd_array_map_*).
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/bits.h"
#include "maps/types.h"

#ifndef BPF_F_PRESERVE_ELEMS
#define BPF_F_PRESERVE_ELEMS (1u << 11)
#endif

#define SLOTS_FLAGS (BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY)

int slots_geometry(struct nt_map_view *v)
{
	u32 flags =
	    SLOTS_FLAGS | (v->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY ? BPF_F_PRESERVE_ELEMS : 0);

	if (v->key_size != 4 || v->value_size != 4 || !v->max_entries || v->flags & ~flags)
		return -EINVAL;
	v->ncpus = 1;
	v->value_stride = 8;
	v->ctl_off = v->size = bits_round_up(8ull * v->max_entries, (u64)NT_PAGE);
	return v->size > MAP_SIZE_MAX ? -ENOMEM : 0;
}

u64 *map_slot(const struct nt_map_view *v, u32 idx)
{
	return idx < v->max_entries ? (u64 *)(void *)(v->base + 8ull * idx) : NULL;
}
