/* SPDX-License-Identifier: MIT */
/*
 * Stack traces by id. Follows kernel/bpf/stackmap.c: the id is the bucket that the addresses hash to, a bucket holds
 * one stack.
 *
 *     [struct stack_ctl][state word per bucket][two places per bucket, value_size bytes each]
 *
 * A new stack is written into the place that is not current and becomes the bucket's by one store of its state:
 *
 *     bit  63 .. 32   31 .. 16   15 .. 1   0
 *          hash     | frames   | version | full
 *
 * Bit 1, the lowest of the version, says which place is current. A lock orders the writers; most calls find their stack
 * there already and take none. Readers copy and look at the state again.
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "maps/hash_key.h"
#include "maps/lock.h"
#include "maps/types.h"

#define STACK_FLAGS (BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_STACK_BUILD_ID)
#define STACK_ENTRY 32u /* sizeof(struct bpf_stack_build_id) */
#define STACK_FRAMES_MAX 127u /* sysctl_perf_event_max_stack */
#define STACK_TRIES 64u

#define STATE_FULL 1ull
#define STATE_VERSION_ONE 2ull
#define STATE_VERSION_MASK 0xfffeull

struct stack_ctl {
	struct nt_lock lock;
	u64 pad[7];
};

u32 stack_trace_elem(const struct nt_map_view *v)
{
	return v->flags & BPF_F_STACK_BUILD_ID ? STACK_ENTRY : sizeof(u64);
}

/* stack_map_alloc() */
int stack_geometry(struct nt_map_view *v)
{
	u64 places;

	if (v->flags & ~STACK_FLAGS)
		return -EINVAL;
	if (!v->max_entries || v->key_size != 4 || v->value_size < 8 || v->value_size % 8 ||
	    v->value_size % stack_trace_elem(v) || v->value_size / stack_trace_elem(v) > STACK_FRAMES_MAX)
		return -EINVAL;
	if (v->max_entries > 1u << 31)
		return -E2BIG;
	v->ncpus = 1;
	v->nbuckets = (u32)bits_pow2_ceil(v->max_entries);
	v->value_stride = v->value_size;
	v->ctl_off = 0;
	v->data_off = sizeof(struct stack_ctl) + 8ull * v->nbuckets;
	places = 2ull * v->value_size * v->nbuckets;
	if (places > MAP_SIZE_MAX)
		return -ENOMEM;
	v->size = bits_round_up(v->data_off + places, (u64)NT_PAGE);
	return 0;
}

static struct stack_ctl *stack_ctl(const struct nt_map_view *v)
{
	return (struct stack_ctl *)(void *)(v->base + v->ctl_off);
}

static u64 *stack_state(const struct nt_map_view *v, u32 id)
{
	return (u64 *)(void *)(v->base + v->ctl_off + sizeof(struct stack_ctl)) + id;
}

/* The place that a state names. */
static u8 *stack_place(const struct nt_map_view *v, u32 id, u64 state)
{
	u64 at = 2ull * id + (state >> 1 & 1);

	return v->base + v->data_off + at * v->value_size;
}

static u32 stack_frames(const struct nt_map_view *v, u64 state)
{
	return bits_min((u32)(state >> 16) & 0xffff, v->value_size / stack_trace_elem(v));
}

static bool stack_same(const struct nt_map_view *v, u32 id, u64 state, const void *elems, u32 n)
{
	bool same = stack_frames(v, state) == n && mem_equal(stack_place(v, id, state), elems, stack_trace_elem(v) * n);

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return same && at_load(stack_state(v, id)) == state;
}

/* __bpf_get_stackid() */
s64 stack_trace_put_as(const struct nt_map_view *v, const struct nt_caller *c, const u64 *ips, const void *elems, u32 n, u64 flags)
{
	struct nt_lock *lock = &stack_ctl(v)->lock;
	u32 hash, id;
	u64 state;

	n = bits_min(n, v->value_size / stack_trace_elem(v));
	hash = key_hash(ips, 8 * n, 0);
	id = hash & (v->nbuckets - 1);
	state = at_load_acq(stack_state(v, id));
	if (state & STATE_FULL && state >> 32 == hash &&
	    (flags & BPF_F_FAST_STACK_CMP || stack_same(v, id, state, elems, n)))
		return id;
	if (state & STATE_FULL && !(flags & BPF_F_REUSE_STACKID))
		return -EEXIST;
	if (!map_lock_take(lock, c))
		return -EBUSY;
	/* Somebody else may have been here with another stack meanwhile: as if he had come a moment earlier. */
	state = (at_load(stack_state(v, id)) + STATE_VERSION_ONE) & STATE_VERSION_MASK;
	mem_copy(stack_place(v, id, state), elems, stack_trace_elem(v) * n);
	at_store_rel(stack_state(v, id), (u64)hash << 32 | (u64)n << 16 | state | STATE_FULL);
	map_lock_drop(lock, c->tid);
	return id;
}

s64 stack_trace_put(const struct nt_map_view *v, const struct nt_caller *c, const u64 *ips, u32 n, u64 flags)
{
	return stack_trace_put_as(v, c, ips, ips, n, flags);
}

/* bpf_stackmap_copy() */
int stack_sys_lookup(const struct nt_map_view *v, const void *key, void *value)
{
	u32 id = *(const key_half *)key, n, bytes;
	u64 state;

	if (id >= v->nbuckets)
		return -ENOENT;
	for (u32 tries = STACK_TRIES; tries; tries--) {
		state = at_load_acq(stack_state(v, id));
		if (!(state & STATE_FULL))
			return -ENOENT;
		n = stack_frames(v, state);
		bytes = stack_trace_elem(v) * n;
		mem_copy(value, stack_place(v, id, state), bytes);
		mem_zero((u8 *)value + bytes, v->value_size - bytes);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(stack_state(v, id)) == state)
			return 0;
	}
	return -EBUSY;
}

int stack_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key)
{
	struct nt_lock *lock = &stack_ctl(v)->lock;
	u32 id = *(const key_half *)key;
	u64 state;

	if (id >= v->nbuckets)
		return -E2BIG;
	if (!map_lock_take(lock, c))
		return -EBUSY;
	state = at_load(stack_state(v, id));
	at_store_rel(stack_state(v, id), (state + STATE_VERSION_ONE) & STATE_VERSION_MASK);
	map_lock_drop(lock, c->tid);
	return state & STATE_FULL ? 0 : -ENOENT;
}

/* stack_map_get_next_key() */
int stack_next_key(const struct nt_map_view *v, const void *key, void *next)
{
	u32 id = key ? *(const key_half *)key : 0;

	if (key && (id >= v->nbuckets || !(at_load(stack_state(v, id)) & STATE_FULL)))
		id = 0;
	else if (key)
		id++;
	while (id < v->nbuckets && !(at_load(stack_state(v, id)) & STATE_FULL))
		id++;
	if (id >= v->nbuckets)
		return -ENOENT;
	mem_copy(next, &id, sizeof(id));
	return 0;
}
