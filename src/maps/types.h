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

#define MAP_KMALLOC_MAX (4u << 20) /* KMALLOC_MAX_SIZE */

/* Array and per-CPU array (array.c). */
int array_geometry(struct nt_map_view *v);
void *array_lookup(const struct nt_map_view *v, u32 cpu, const void *key);
int array_update(const struct nt_map_view *v, u32 cpu, const void *key, const void *value,
		 u64 flags, bool sys);
int array_sys_lookup(const struct nt_map_view *v, const void *key, void *value);
int array_next_key(const struct nt_map_view *v, const void *key, void *next);

/* Hash and per-CPU hash (hash.c). */
int hash_geometry(struct nt_map_view *v);
/* The second half of hash_geometry(): where things lie. */
int hash_layout(struct nt_map_view *v);
void hash_init(const struct nt_map_view *v);
void *hash_lookup(const struct nt_map_view *v, u32 cpu, const void *key);
int hash_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		const void *value, u64 flags, bool sys);
/* value, when not NULL, gets what the element held. */
int hash_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		void *value);
int hash_sys_lookup(const struct nt_map_view *v, const void *key, void *value);
int hash_next_key(const struct nt_map_view *v, const void *key, void *next);
/* The key of the element behind *link in this bucket; *link = 0: the first one. What others change meanwhile may lead into
 * another bucket, corrupted memory anywhere and for ever: the caller counts. false: the end. */
bool hash_chain_next(const struct nt_map_view *v, u32 bucket, u64 *link, void *ret_key);

/* value of hash_update() NULL: zeroes, with BPF_NOEXIST and not per CPU. */
/* value: size bytes and, at the end of v->value_size, tail_size bytes of tail. */
int hash_update_tailed(const struct nt_map_view *v, const struct nt_caller *c, const void *key, const void *value,
		       u32 size, const void *tail, u32 tail_size, u64 flags);
struct hash_elem;
void *hash_value_at(const struct nt_map_view *v, struct hash_elem *e, u32 cpu);

/* LRU hashes (hash_lru.c): everything else is the hash's. */
void *hash_lru_lookup(const struct nt_map_view *v, u32 cpu, const void *key);

/* LPM trie (lpm.c). */
int lpm_geometry(struct nt_map_view *v);
void *lpm_lookup(const struct nt_map_view *v, const void *key);
int lpm_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key, const void *value, u64 flags);
int lpm_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key);
int lpm_sys_lookup(const struct nt_map_view *v, const void *key, void *value);
int lpm_next_key(const struct nt_map_view *v, const void *key, void *next);

/* Stack traces (stack_trace.c). */
int stack_geometry(struct nt_map_view *v);
int stack_sys_lookup(const struct nt_map_view *v, const void *key, void *value);
int stack_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key);
int stack_next_key(const struct nt_map_view *v, const void *key, void *next);

/* Task storage (task.c); elements: map_task_*(). */
int arena_geometry(struct nt_map_view *v);
int task_geometry(struct nt_map_view *v);
void task_init(const struct nt_map_view *v);

/* Queue and stack (queue.c). */
int queue_geometry(struct nt_map_view *v);
int queue_push(const struct nt_map_view *v, const struct nt_caller *c, const void *value, u64 flags);
/* leave: look only. On failure value is zeroed. */
int queue_take(const struct nt_map_view *v, const struct nt_caller *c, void *value, bool leave);

/* Bloom filter (bloom.c). */
int bloom_geometry(struct nt_map_view *v);
void bloom_init(const struct nt_map_view *v);
int bloom_push(const struct nt_map_view *v, const void *value, u64 flags);
int bloom_peek(const struct nt_map_view *v, const void *value);

/* Arrays of objects (slots.c). */
int slots_geometry(struct nt_map_view *v);

/* Ring buffer (ring.c); the rest of it is called directly. */
int ring_geometry(struct nt_map_view *v);
