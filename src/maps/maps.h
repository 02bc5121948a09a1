/* SPDX-License-Identifier: MIT */
/*
 * Maps over shared memory: one file per type behind this one interface. Built twice: hosted (broker, tests) and
 * freestanding (payload). No function allocates, blocks for ever, or trusts a number found in shared memory.
 * SIGKILL of any caller at any instruction leaves the map usable for all others.
 *
 * Semantics and errnos: kernel/bpf/{arraymap,hashtab,ringbuf}.c, measured in the kernel-parity tests.
 */
#pragma once

#include "abi/map.h"

/*
 * Fills the derived fields and size of v from type, key_size, value_size, max_entries, flags, ncpus. The checks of
 * BPF_MAP_CREATE that depend on the type are made here: -EINVAL, -E2BIG, -ENOTSUPP (524) as the kernel's.
 * -EOPNOTSUPP: a type this version does not have.
 */
int map_geometry(struct nt_map_view *v);

/* Prepares a file of v->size zero bytes mapped at v->base. Called once, by the creator. */
int map_init(const struct nt_map_view *v);

/* Programs' side. The pointer stays valid memory for ever (type-stable elements), as in a preallocated kernel map.
 * Per-CPU types return the value of c->cpu. NULL: no such element. */
/* Maps of maps: the pointer is to the inner map's id (u32), 0 = there is none. */
void *map_lookup(const struct nt_map_view *v, const struct nt_caller *c, const void *key);
/* The same for a map that is known to be a BPF_MAP_TYPE_HASH, with keys of 4, 8 or any number of bytes. */
void *map_hash_lookup4(const struct nt_map_view *v, const void *key);
void *map_hash_lookup8(const struct nt_map_view *v, const void *key);
void *map_hash_lookup(const struct nt_map_view *v, const void *key);
/* Programs' side: 0 or -errno. Per-CPU types write c->cpu's value only (a new element is zero elsewhere). */
int map_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key, const void *value, u64 flags);
int map_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key);

/* System call's side: value is value_size bytes, for per-CPU types value_stride * ncpus bytes (map_syscall_size()).
 * 0 or -errno of the bpf(2) command. */
u32 map_syscall_size(const struct nt_map_view *v);
int map_sys_lookup(const struct nt_map_view *v, const struct nt_caller *c, const void *key, void *value);
int map_sys_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key, const void *value,
		   u64 flags);
int map_sys_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key);
int map_sys_lookup_and_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key, void *value);
/* key NULL: the first key. -ENOENT at the end; an unknown key starts from the beginning. next must not overlap key
 * and may be scribbled on when this fails. In a map that others change (or that is corrupted) the caller bounds its
 * iteration: an element deleted and inserted again may turn up twice. */
int map_next_key(const struct nt_map_view *v, const void *key, void *next);

/* Hashes of all kinds: the elements of buckets *bucket and up, whole buckets, at most *count elements: keys, and values as the
 * system call has them. *bucket is then where to go on, *count how many there are. 0; -ENOENT: these are the last; -ENOSPC:
 * the first bucket alone has more; -EBUSY. */
int map_hash_batch(const struct nt_map_view *v, u32 *bucket, void *keys, void *values, u32 *count);

/* Maps without keys: queue, stack; bloom filter: push, and peek, which asks for the value. Both sides: 0 or -errno. A
 * value that is not there is zeroed. */
int map_push(const struct nt_map_view *v, const struct nt_caller *c, const void *value, u64 flags);
int map_pop(const struct nt_map_view *v, const struct nt_caller *c, void *value);
int map_peek(const struct nt_map_view *v, const struct nt_caller *c, void *value);

/* Stack trace map: the id of these n addresses (innermost first; as many as fit count). flags:
 * BPF_F_FAST_STACK_CMP, BPF_F_REUSE_STACKID. -EEXIST: another stack has that id; -EBUSY. */
s64 stack_trace_put(const struct nt_map_view *v, const struct nt_caller *c, const u64 *ips, u32 n, u64 flags);
/* The same with something else to keep instead: n elements of stack_trace_elem() bytes, struct bpf_stack_build_id. */
s64 stack_trace_put_as(const struct nt_map_view *v, const struct nt_caller *c, const u64 *ips, const void *elems, u32 n, u64 flags);
u32 stack_trace_elem(const struct nt_map_view *v); /* bytes: 8, or 32 with BPF_F_STACK_BUILD_ID */

/* Task storage. Who: a thread by its id in its pid namespace, which is named by its inode number (0: unknown). */
struct nt_task {
	u64 ns;
	u32 tid; /* 0 = unknown: it has no value */
};
/* Programs' side: the value; if there is none and `create`: a new one, which is init (NULL: zeroes). NULL: none. */
void *map_task_get(const struct nt_map_view *v, const struct nt_caller *c, const struct nt_task *t, bool create,
		   const void *init);
int map_task_delete(const struct nt_map_view *v, const struct nt_caller *c, const struct nt_task *t); /* both sides */
/* System call's side: 0 or -errno. */
int map_task_lookup(const struct nt_map_view *v, const struct nt_task *t, void *value);
int map_task_update(const struct nt_map_view *v, const struct nt_caller *c, const struct nt_task *t, const void *value,
		    u64 flags);
/* Broker: frees the values of threads of this namespace that are no more. Returns their number. */
u32 map_task_reap(const struct nt_map_view *v, const struct nt_caller *c, u64 ns, bool (*is_dead)(u32 tid, void *arg),
		  void *arg);

/* Arena: marks n pages as allocated, all of them or, if one is already, none (false). */
bool arena_take(const struct nt_map_view *v, u32 first, u32 n);
void arena_give(const struct nt_map_view *v, u32 first, u32 n); /* what is outside is left out */
bool arena_is_taken(const struct nt_map_view *v, u32 page);	/* or outside */

/* User ring buffer. Between begin (false: somebody else drains) and end: peek gives the next sample or -ENODATA,
 * -EAGAIN (it was a discarded one, it is gone), -EINVAL, -E2BIG (the loader wrote nonsense); release consumes it. */
struct user_sample {
	u8 *data;
	u32 size;
	u64 next; /* position behind it */
};
bool user_ring_begin(const struct nt_map_view *v, const struct nt_caller *c);
void user_ring_end(const struct nt_map_view *v, const struct nt_caller *c);
int user_ring_peek(const struct nt_map_view *v, struct user_sample *ret);
void user_ring_release(const struct nt_map_view *v, const struct user_sample *s);

/* The hash operations of both sides also fail with -EBUSY (corrupted memory, or others won thousands of races), and a
 * replaced value of more than 8 bytes with -ENOMEM when killed processes have lost every spare element. */

/* Ring buffer. ring_reserve returns the record's data (size bytes) or NULL. ring_submit gives it to the consumer;
 * both finishers return true when the consumer has to be woken (kernel rule and flags of bpf_ringbuf_submit). The rule
 * relies on the kernel's other half (ringbuf_map_poll): who sleeps for the consumer first looks, after a full barrier,
 * whether producer and consumer positions still differ, and does not sleep then. */
void *ring_reserve(const struct nt_map_view *v, const struct nt_caller *c, u64 size);
bool ring_submit(const struct nt_map_view *v, void *record, u64 flags, bool discard);
int ring_output(const struct nt_map_view *v, const struct nt_caller *c, const void *data, u64 size, u64 flags,
		bool *ret_wake);
u64 ring_query(const struct nt_map_view *v, u64 flags);
/* Arrays of objects: the word of an element, written by the broker alone, 0 = empty. NULL: no such element. */
u64 *map_slot(const struct nt_map_view *v, u32 idx);

/* Perf buffers. Writes one record into the event that the perf event array v (with v->outputs) holds at the index in
 * flags. 0; -EINVAL, -E2BIG, -ENOENT as the kernel's; -EOPNOTSUPP disabled; -ENOSPC full or not mapped (counted, and told by the next
 * record); -EBUSY. *ret_wake is set when the reader has to be woken: through `armed`, as for a ring buffer. */
struct nt_out_ctl;
int output_event(const struct nt_map_view *v, const struct nt_caller *c, const void *data, u64 size, u64 flags,
		 struct nt_out_ctl **ret_wake);

/* Broker: gives up what a dead owner holds (lock, unfinished records) - is_dead decides. Returns records discarded:
 * when there were some, the consumer has to be woken. */
u32 ring_reap(const struct nt_map_view *v, bool (*is_dead)(u32 tid, void *arg), void *arg);
/* The same of a map of any type, or nothing: hashes are found out by their users. */
u32 map_reap(const struct nt_map_view *v, bool (*is_dead)(u32 tid, void *arg), void *arg);
