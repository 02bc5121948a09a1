/* SPDX-License-Identifier: MIT */
/*
 * One entry per operation; the type decides. Switches, not tables of functions: a table of pointers
 * would need relocating, and the payload image has none.
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "abi/bpf.h"
#include "maps/lock.h"
#include "maps/types.h"

int map_geometry(struct nt_map_view *v)
{
	struct nt_map_view g = {};
	int r;

	g.type = v->type;
	g.key_size = v->key_size;
	g.value_size = v->value_size;
	g.max_entries = v->max_entries;
	g.flags = v->flags;
	g.ncpus = v->ncpus;
	g.base = v->base;
	g.id = v->id;
	g.extra = v->extra;
	switch (g.type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY: r = array_geometry(&g); break;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: r = hash_geometry(&g); break;
	case BPF_MAP_TYPE_HASH_OF_MAPS: r = g.value_size == 4 ? hash_geometry(&g) : -EINVAL; break;
	case BPF_MAP_TYPE_LPM_TRIE: r = lpm_geometry(&g); break;
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK: r = queue_geometry(&g); break;
	case BPF_MAP_TYPE_BLOOM_FILTER: r = bloom_geometry(&g); break;
	case BPF_MAP_TYPE_STACK_TRACE: r = stack_geometry(&g); break;
	case NT_BPF_MAP_TYPE_USER_RINGBUF:
	case BPF_MAP_TYPE_RINGBUF: r = ring_geometry(&g); break;
	case BPF_MAP_TYPE_TASK_STORAGE: r = task_geometry(&g); break;
	case NT_BPF_MAP_TYPE_ARENA: r = arena_geometry(&g); break;
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_CGROUP_ARRAY: r = slots_geometry(&g); break;
	default: return -EOPNOTSUPP;
	}
	if (r < 0)
		return r;
	*v = g;
	return 0;
}

int map_init(const struct nt_map_view *v)
{
	switch (v->type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
	case BPF_MAP_TYPE_LPM_TRIE: hash_init(v); return 0;
	case BPF_MAP_TYPE_BLOOM_FILTER: bloom_init(v); return 0;
	case BPF_MAP_TYPE_TASK_STORAGE: task_init(v); return 0;
	default: return 0; /* zero bytes are the initial state */
	}
}

u32 map_syscall_size(const struct nt_map_view *v)
{
	switch (v->type) {
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return v->value_stride * v->ncpus;
	default: return v->value_size;
	}
}

void *map_lookup(const struct nt_map_view *v, const struct nt_caller *c, const void *key)
{
	switch (v->type) {
	case BPF_MAP_TYPE_ARRAY: return array_lookup(v, 0, key);
	case BPF_MAP_TYPE_PERCPU_ARRAY: return array_lookup(v, c->cpu, key);
	case BPF_MAP_TYPE_HASH_OF_MAPS:
	case BPF_MAP_TYPE_HASH: return hash_lookup(v, 0, key);
	case BPF_MAP_TYPE_ARRAY_OF_MAPS: return map_slot(v, *(const u32 *)key);
	case BPF_MAP_TYPE_PERCPU_HASH: return hash_lookup(v, c->cpu, key);
	case BPF_MAP_TYPE_LRU_HASH: return hash_lru_lookup(v, 0, key);
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return hash_lru_lookup(v, c->cpu, key);
	case BPF_MAP_TYPE_LPM_TRIE: return lpm_lookup(v, key);
	default: return NULL;
	}
}

static int map_do_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
			 const void *value, u64 flags, bool sys)
{
	switch (v->type) {
	case BPF_MAP_TYPE_ARRAY: return array_update(v, 0, key, value, flags, sys);
	case BPF_MAP_TYPE_PERCPU_ARRAY: return array_update(v, c->cpu, key, value, flags, sys);
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_HASH_OF_MAPS: /* the broker alone: ids of maps */
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return hash_update(v, c, key, value, flags, sys);
	case BPF_MAP_TYPE_LPM_TRIE: return lpm_update(v, c, key, value, flags);
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK:
	case BPF_MAP_TYPE_BLOOM_FILTER: return sys ? map_push(v, c, value, flags) : -EINVAL;
	case BPF_MAP_TYPE_STACK_TRACE: return -EINVAL;
	case NT_BPF_MAP_TYPE_ARENA: return -EOPNOTSUPP;
	default: return -NT_ENOTSUPP;
	}
}

int map_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
	       const void *value, u64 flags)
{
	return map_do_update(v, c, key, value, flags, false);
}

int map_sys_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		   const void *value, u64 flags)
{
	/* bpf_map_check_op_flags(): no map of ours has a spin lock in its value. */
	if (flags & BPF_F_LOCK)
		return -EINVAL;
	return map_do_update(v, c, key, value, flags, true);
}

int map_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key)
{
	switch (v->type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK: return -EINVAL;
	case NT_BPF_MAP_TYPE_ARENA:
	case BPF_MAP_TYPE_BLOOM_FILTER: return -EOPNOTSUPP;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return hash_delete(v, c, key, NULL);
	case BPF_MAP_TYPE_LPM_TRIE: return lpm_delete(v, c, key);
	case BPF_MAP_TYPE_STACK_TRACE: return stack_delete(v, c, key);
	default: return -NT_ENOTSUPP;
	}
}

int map_sys_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key)
{
	return map_delete(v, c, key);
}

int map_sys_lookup(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		   void *value)
{
	switch (v->type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY: return array_sys_lookup(v, key, value);
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return hash_sys_lookup(v, key, value);
	case BPF_MAP_TYPE_LPM_TRIE: return lpm_sys_lookup(v, key, value);
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK:
	case BPF_MAP_TYPE_BLOOM_FILTER: return map_peek(v, c, value);
	case BPF_MAP_TYPE_STACK_TRACE: return stack_sys_lookup(v, key, value);
	case NT_BPF_MAP_TYPE_ARENA: return -EINVAL;
	default: return -NT_ENOTSUPP;
	}
}

int map_sys_lookup_and_delete(const struct nt_map_view *v, const struct nt_caller *c,
			      const void *key, void *value)
{
	switch (v->type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return hash_delete(v, c, key, value);
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK: return map_pop(v, c, value);
	default: return -NT_ENOTSUPP;
	}
}

int map_next_key(const struct nt_map_view *v, const void *key, void *next)
{
	switch (v->type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_CGROUP_ARRAY: return array_next_key(v, key, next);
	case BPF_MAP_TYPE_HASH_OF_MAPS:
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return hash_next_key(v, key, next);
	case BPF_MAP_TYPE_LPM_TRIE: return lpm_next_key(v, key, next);
	case BPF_MAP_TYPE_STACK_TRACE: return stack_next_key(v, key, next);
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK: return -EINVAL;
	case NT_BPF_MAP_TYPE_ARENA:
	case BPF_MAP_TYPE_BLOOM_FILTER: return -EOPNOTSUPP;
	default: return -NT_ENOTSUPP;
	}
}

int map_push(const struct nt_map_view *v, const struct nt_caller *c, const void *value, u64 flags)
{
	switch (v->type) {
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK: return queue_push(v, c, value, flags);
	case BPF_MAP_TYPE_BLOOM_FILTER: return bloom_push(v, value, flags);
	default: return -EINVAL;
	}
}

int map_pop(const struct nt_map_view *v, const struct nt_caller *c, void *value)
{
	switch (v->type) {
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK: return queue_take(v, c, value, false);
	default: return -EINVAL;
	}
}

int map_peek(const struct nt_map_view *v, const struct nt_caller *c, void *value)
{
	switch (v->type) {
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK: return queue_take(v, c, value, true);
	case BPF_MAP_TYPE_BLOOM_FILTER: return bloom_peek(v, value);
	default: return -EINVAL;
	}
}

u32 map_reap(const struct nt_map_view *v, bool (*is_dead)(u32 tid, void *arg), void *arg)
{
	switch (v->type) {
	case BPF_MAP_TYPE_RINGBUF: return ring_reap(v, is_dead, arg);
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK:
	case BPF_MAP_TYPE_STACK_TRACE:
	case NT_BPF_MAP_TYPE_USER_RINGBUF: /* their control page begins with it */
		map_lock_reap((struct nt_lock *)(void *)(v->base + v->ctl_off), is_dead, arg);
	}
	return 0;
}
