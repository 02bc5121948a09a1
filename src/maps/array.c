/* SPDX-License-Identifier: MIT */
/*
 * Array and per-CPU array: values at file offset 0, nothing else. Follows kernel/bpf/arraymap.c.
 *
 *     array:          base + idx * value_stride
 *     per-CPU array:  base + cpu * cpu_stride + idx * value_stride
 *
 * The JIT emits these two formulas, and a loader that mmaps the map sees the first. There is no
 * state to tear: a write is a copy into the value, concurrent writers of one value mix as they do
 * in the kernel. Values up to eight bytes are written by one store.
 */
#include "maps/types.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"

#define ARRAY_CPU_ALIGN 64u /* CPUs do not share cache lines */
#define ARRAY_FLAGS                                                                                \
	(BPF_F_NUMA_NODE | BPF_F_MMAPABLE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG |      \
	 BPF_F_WRONLY_PROG | BPF_F_INNER_MAP)
#define ARRAY_PROG_ACCESS (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)

static bool array_is_percpu(const struct nt_map_view *v)
{
	return v->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* array_map_alloc_check() and array_map_alloc() */
int array_geometry(struct nt_map_view *v)
{
	bool percpu = array_is_percpu(v);
	u64 bytes;

	if (!v->max_entries || v->key_size != 4 || !v->value_size || (v->flags & ~ARRAY_FLAGS) ||
	    (v->flags & ARRAY_PROG_ACCESS) == ARRAY_PROG_ACCESS)
		return -EINVAL;
	if (percpu && (v->flags & (BPF_F_NUMA_NODE | BPF_F_MMAPABLE | BPF_F_INNER_MAP)))
		return -EINVAL;
	if (v->value_size > 0x7fffffffu)
		return -E2BIG;
	if (percpu && bits_round_up(v->value_size, 8u) > MAP_PERCPU_VALUE_MAX)
		return -E2BIG;
	if (percpu && !v->ncpus)
		return -EINVAL;
	v->value_stride = bits_round_up(v->value_size, 8u);
	bytes = (u64)v->value_stride * v->max_entries;
	if (!percpu) {
		v->ncpus = 1;
	} else if (bytes <= MAP_SIZE_MAX) {
		v->cpu_stride = bits_round_up(bytes, (u64)ARRAY_CPU_ALIGN);
		bytes = v->cpu_stride * v->ncpus;
	}
	if (bytes > MAP_SIZE_MAX)
		return -ENOMEM;
	v->data_off = 0;
	v->size = bits_round_up(bytes, (u64)NT_PAGE);
	v->ctl_off = v->size; /* no control block */
	return 0;
}

typedef u32 array_key __attribute__((may_alias, aligned(1)));

static u32 array_index(const void *key)
{
	return *(const array_key *)key;
}

/* idx and cpu have been checked. */
static u8 *array_value(const struct nt_map_view *v, u32 cpu, u32 idx)
{
	return v->base + v->data_off + cpu * v->cpu_stride + (u64)idx * v->value_stride;
}

void *array_lookup(const struct nt_map_view *v, u32 cpu, const void *key)
{
	u32 idx = array_index(key);

	if (idx >= v->max_entries || cpu >= v->ncpus)
		return NULL;
	return array_value(v, cpu, idx);
}

/* size of 1, 2, 4 or 8: a reader never sees half of it. */
static void array_write(u8 *dst, const void *src, u32 size)
{
	u64 word = 0;

	switch (size) {
	case 1:
	case 2:
	case 4:
	case 8: mem_copy(&word, src, size); break;
	default: mem_copy(dst, src, size); return;
	}
	if (size == 8)
		at_store_rel((u64 *)(void *)dst, word);
	else if (size == 4)
		at_store_rel((u32 *)(void *)dst, (u32)word);
	else if (size == 2)
		at_store_rel((u16 *)(void *)dst, (u16)word);
	else
		at_store_rel(dst, (u8)word);
}

/* array_map_update_elem() and, for the system call on per-CPU arrays, bpf_percpu_array_update() */
int array_update(const struct nt_map_view *v, u32 cpu, const void *key, const void *value,
		 u64 flags, bool sys)
{
	u32 idx = array_index(key);
	const u8 *src = value;

	if ((flags & ~(u64)BPF_F_LOCK) > BPF_EXIST)
		return -EINVAL;
	if (idx >= v->max_entries)
		return -E2BIG;
	if (flags & BPF_NOEXIST)
		return -EEXIST;
	if (flags & BPF_F_LOCK)
		return -EINVAL;
	if (array_is_percpu(v) && sys) {
		for (u32 i = 0; i < v->ncpus; i++)
			array_write(array_value(v, i, idx), src + (u64)i * v->value_stride,
				    v->value_stride);
		return 0;
	}
	if (cpu >= v->ncpus)
		return -EINVAL;
	array_write(array_value(v, cpu, idx), src, v->value_size);
	return 0;
}

int array_sys_lookup(const struct nt_map_view *v, const void *key, void *value)
{
	u32 idx = array_index(key);
	u8 *dst = value;

	if (idx >= v->max_entries)
		return -ENOENT;
	if (!array_is_percpu(v)) {
		mem_copy(dst, array_value(v, 0, idx), v->value_size);
		return 0;
	}
	for (u32 i = 0; i < v->ncpus; i++)
		mem_copy(dst + (u64)i * v->value_stride, array_value(v, i, idx), v->value_stride);
	return 0;
}

/* array_map_get_next_key(): what follows an unknown key is the first one. */
int array_next_key(const struct nt_map_view *v, const void *key, void *next)
{
	u32 idx = key ? array_index(key) : 0xffffffffu;

	if (idx >= v->max_entries)
		idx = 0;
	else if (idx == v->max_entries - 1)
		return -ENOENT;
	else
		idx++;
	mem_copy(next, &idx, sizeof(idx));
	return 0;
}
