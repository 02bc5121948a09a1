/* SPDX-License-Identifier: MIT */
/*
 * What maps.c dispatches to: one block of functions per map type. Same meaning, arguments and
 * results as the map_*() and ring_*() functions of maps.h; `sys` tells the system call's side from
 * the programs' side.
 */
#pragma once

#include "abi/map.h"

/* Larger files are refused with -ENOMEM, as the kernel refuses what it cannot allocate. */
#define MAP_SIZE_MAX (1ull << 36)

/* kernel/bpf/bpf.h: a per-CPU value has to fit a unit of the kernel's per-CPU allocator. */
#define MAP_PERCPU_VALUE_MAX (32u << 10)

/* Array and per-CPU array (array.c). */
int array_geometry(struct nt_map_view *v);
void *array_lookup(const struct nt_map_view *v, u32 cpu, const void *key);
int array_update(const struct nt_map_view *v, u32 cpu, const void *key, const void *value,
		 u64 flags, bool sys);
int array_sys_lookup(const struct nt_map_view *v, const void *key, void *value);
int array_next_key(const struct nt_map_view *v, const void *key, void *next);

/* Hash and per-CPU hash (hash.c). */
int hash_geometry(struct nt_map_view *v);
void hash_init(const struct nt_map_view *v);
void *hash_lookup(const struct nt_map_view *v, u32 cpu, const void *key);
int hash_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		const void *value, u64 flags, bool sys);
/* value, when not NULL, gets what the element held. */
int hash_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		void *value);
int hash_sys_lookup(const struct nt_map_view *v, const void *key, void *value);
int hash_next_key(const struct nt_map_view *v, const void *key, void *next);

/* Arrays of objects (slots.c). */
int slots_geometry(struct nt_map_view *v);

/* Ring buffer (ring.c); the rest of it is called directly. */
int ring_geometry(struct nt_map_view *v);
