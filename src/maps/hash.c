/* SPDX-License-Identifier: MIT */
/*
 * Hash and per-CPU hash, without locks. Semantics of kernel/bpf/hashtab.c with preallocated
 * elements.
 *
 * Problem. Threads of many processes use one map; any of them may be killed at any instruction, and
 * a signal handler may interrupt an operation and run another one on the same bucket in the same
 * thread. So nobody may ever have to wait for anybody.
 *
 *     bucket:  head ---> A ---> B(removed) ---> C ---> 0
 *
 * Each operation takes effect by ONE compare-and-swap of a versioned link (hash.h):
 *
 *     insert   head:    -> A          becomes  -> new (new -> A)
 *     delete   B.next:  -> C          becomes  -> C, removed
 *     replace  B.next:  -> C          becomes  -> new, removed      (new -> C)
 *
 * A removed element is then bypassed (link before it := what it points to) and given back, by who
 * removed it. Killed in between, it stays in the chain as a dead link that walks step over and the
 * next bypass cleans away.
 *
 * Rules.
 * 1. Walks check the link they came by again after reading an element (hash_walk). It is unchanged
 * and its own element not removed: then the element read was in the chain, and so was everything
 * removed on the way to it (removed links do not change while they are linked). Else the walk
 * starts over. Hence "not found" means that at one moment during the walk the key was not there.
 * 2. New keys enter at the head only, by a swap that fails if the head changed since the walk
 * began. A key that was absent during the walk can have come only through the head; so no key ever
 * gets a second element.
 * 3. A replacement takes the replaced element's place in the same step that removes it: no moment
 * without the key.
 * 4. Elements are never unmapped and versions never go back, so a late swap by a slow process fails
 * harmlessly.
 *
 * Values. A program's pointer into a value stays valid memory; after a delete the element may come
 * to serve another key, as in the kernel. Updates of an existing element:
 *   - up to 8 bytes: in place, by a swap of {link, value} together: fails when the element is no
 * longer this key's;
 *   - larger, and all CPUs at once (system call): a new element replaces it, readers see the old or
 * the new value;
 *   - one CPU's value by a program: in place like the kernel; that CPU's value has no other writer
 * but programs that were preempted there. (If the element is deleted and reused within those few
 * instructions the write lands in the new key's value of this CPU, just as through a looked-up
 * pointer.) A system call's lookup copies, then checks the element's use count, so it never mixes
 * two keys' values.
 *
 * Bounds. Element numbers are checked, steps and retries are counted: corrupted memory gives wrong
 * answers or -EBUSY, never a stray access or an endless loop.
 */
#include "maps/types.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/bits.h"
#include "base/syscall.h"
#include "maps/hash_walk.h"
#include "maps/maps.h"
#include "maps/pair.h"

#define HASH_TRIES (1u << 12)
#define HASH_FLAGS                                                                                 \
	(BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG |   \
	 BPF_F_WRONLY_PROG | BPF_F_ZERO_SEED | BPF_F_NO_COMMON_LRU)
#define HASH_PROG_ACCESS (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
#define HASH_KERNEL_KMALLOC_MAX (4u << 20) /* KMALLOC_MAX_SIZE */
#define HASH_KERNEL_ELEM 48u		   /* sizeof(struct htab_elem) */
#define HASH_KERNEL_BUCKETS_MAX (1u << 27)

/* The value lies in elem->small. */
static bool hash_is_small(const struct nt_map_view *v)
{
	return !hash_is_percpu(v) && v->value_size <= 8;
}

static u64 hash_value_off(const struct nt_map_view *v)
{
	return hash_is_small(v)
		   ? offsetof(struct hash_elem, small)
		   : bits_round_up(offsetof(struct hash_elem, key) + (u64)v->key_size, 8ull);
}

static u8 *hash_value(const struct nt_map_view *v, struct hash_elem *e, u32 cpu)
{
	return (u8 *)e + hash_value_off(v) + (u64)cpu * v->value_stride;
}

void *hash_value_at(const struct nt_map_view *v, struct hash_elem *e, u32 cpu)
{
	return hash_value(v, e, hash_is_small(v) ? 0 : cpu);
}

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

static inline __attribute__((always_inline)) void *lookup_sized(const struct nt_map_view *v,
								u32 cpu, const void *key, u32 ksize)
{
	u32 hash = key_hash(key, ksize, at_load(&hash_ctl(v)->seed));
	struct hash_pos pos;

	if (hash_walk(v, key, hash, ksize, &pos) <= 0)
		return NULL;
	return hash_is_small(v) ? (u8 *)&pos.elem->small : hash_value(v, pos.elem, cpu);
}

void *map_hash_lookup4(const struct nt_map_view *v, const void *key)
{
	return lookup_sized(v, 0, key, 4);
}

void *map_hash_lookup8(const struct nt_map_view *v, const void *key)
{
	return lookup_sized(v, 0, key, 8);
}

void *map_hash_lookup(const struct nt_map_view *v, const void *key)
{
	return lookup_sized(v, 0, key, v->key_size);
}

/* The hottest function of all maps: compiled for the two usual key sizes. */
void *hash_lookup(const struct nt_map_view *v, u32 cpu, const void *key)
{
	if (cpu >= v->ncpus)
		return NULL;
	switch (v->key_size) {
	case 4: return lookup_sized(v, cpu, key, 4);
	case 8: return lookup_sized(v, cpu, key, 8);
	default: return lookup_sized(v, cpu, key, v->key_size);
	}
}

/* --- taking elements out --- */

/*
 * Goes through the whole bucket and bypasses every run of removed elements. True: finished, so no
 * element that was removed before is linked any more. False: gave up (corrupted memory).
 */
static bool hash_sweep(const struct nt_map_view *v, u32 hash)
{
	u64 *head = hash_head(v, hash), *prev = head;
	u64 was = at_load_acq(head);
	u32 idx = link_index(was), steps = HASH_STEPS;

	for (;;) {
		struct hash_elem *e = idx ? hash_elem(v, idx) : NULL;
		u64 next = e ? at_load_acq(&e->next) : 0;

		if ((idx && !e) || !steps--)
			return false;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(prev) != was)
			goto again;
		if (next & HASH_REMOVED) {
			idx = link_index(next);
			continue;
		}
		if (idx != link_index(was) && !at_cas(prev, &was, link_after(was, idx, 0)))
			goto again;
		if (!idx)
			return true;
		prev = &e->next;
		was = next;
		idx = link_index(next);
		continue;
	again:
		prev = head;
		was = at_load_acq(head);
		idx = link_index(was);
	}
}

/* The caller has removed pos->elem, whose link now leads to succ. True: it is out of the chain,
 * free to be given back. */
static bool hash_bypass(const struct nt_map_view *v, u32 hash, struct hash_pos *pos, u32 succ)
{
	u64 was = pos->prev_was;

	if (link_index(was) == pos->idx && at_cas(pos->prev, &was, link_after(was, succ, 0)))
		return true;
	return hash_sweep(v, hash);
}

static void hash_copy_out(const struct nt_map_view *v, struct hash_elem *e, void *value)
{
	if (hash_is_small(v)) {
		u64 word = at_load(&e->small);

		mem_copy(value, &word, v->value_size);
	} else {
		mem_copy(value, hash_value(v, e, 0),
			 hash_is_percpu(v) ? (u64)v->value_stride * v->ncpus : v->value_size);
	}
}

bool hash_take_out(const struct nt_map_view *v, const struct nt_caller *c, u32 hash, struct hash_pos *pos, void *value)
{
	u32 succ = link_index(pos->next);

	if (!at_cas(&pos->elem->next, &pos->next, link_after(pos->next, succ, HASH_REMOVED)))
		return false;
	if (value)
		hash_copy_out(v, pos->elem, value);
	if (hash_bypass(v, hash, pos, succ))
		hash_pool_give(v, c->cpu, HASH_ENTRY, pos->idx);
	return true;
}

int hash_delete(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		void *value)
{
	u32 hash = hash_of(v, key), ticket = 0;
	struct hash_pos pos;
	bool entered = false;
	int r = -EBUSY;

	for (u32 tries = HASH_TRIES; tries; tries--) {
		int found = hash_find(v, key, hash, &pos);

		if (found <= 0) {
			r = found ? -EBUSY : -ENOENT;
			break;
		}
		if (!entered)
			ticket = hash_pool_enter(v, c);
		entered = true;
		if (!hash_take_out(v, c, hash, &pos, value))
			continue;
		r = 0;
		break;
	}
	if (entered)
		hash_pool_leave(v, c, ticket);
	return r;
}

/* --- putting elements in --- */

struct hash_put {
	const struct nt_map_view *v;
	const struct nt_caller *c;
	const void *key;
	const void *value; /* NULL: zeroes (BPF_NOEXIST, one value) */
	u32 hash;
	bool sys;
	const void *tail; /* LPM trie: the last tail_size bytes of the value are here, not behind value */
	u32 tail_size, head_size;
	bool entered;	       /* hash_pool_enter() was called, */
	u32 ticket;	       /* and returned this */
	u32 held;	       /* an element taken and not linked yet, 0 = none */
	enum hash_class class; /* of held */
	struct hash_patience patience;
};

static void put_drop(struct hash_put *put)
{
	if (put->held)
		hash_pool_give(put->v, put->c->cpu, put->class, put->held);
	put->held = 0;
	if (put->entered)
		hash_pool_leave(put->v, put->c, put->ticket);
	put->entered = false;
}

static bool put_take(struct hash_put *put, enum hash_class class)
{
	if (put->held && put->class == class)
		return true;
	put_drop(put);
	if (class == HASH_ENTRY) {
		if (!hash_pool_has(put->v, put->c->cpu))
			return false;
		put->ticket = hash_pool_enter(put->v, put->c);
		put->entered = true;
	}
	put->held = hash_pool_take(put->v, put->c->cpu, class);
	put->class = class;
	if (!put->held)
		put_drop(put);
	return put->held;
}

/* Makes the held element one of this key and value that leads to succ. */
static void put_fill(struct hash_put *put, u32 succ)
{
	const struct nt_map_view *v = put->v;
	struct hash_elem *e = hash_elem_known(v, put->held);
	u64 word = 0, copies = (u64)v->value_stride * v->ncpus;

	at_store(&e->uses, at_load(&e->uses) + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	e->hash = put->hash;
	mem_copy(e->key, put->key, v->key_size);
	if (hash_is_small(v)) {
		if (put->value)
			mem_copy(&word, put->value, v->value_size);
		at_store(&e->small, word);
	} else if (!put->value) {
		mem_zero(hash_value(v, e, 0), v->value_size);
	} else if (put->tail_size) {
		mem_copy(hash_value(v, e, 0), put->value, put->head_size);
		mem_copy(hash_value(v, e, 0) + v->value_size - put->tail_size, put->tail, put->tail_size);
	} else if (!hash_is_percpu(v)) {
		mem_copy(hash_value(v, e, 0), put->value, v->value_size);
	} else if (put->sys) {
		mem_copy(hash_value(v, e, 0), put->value, copies);
	} else {
		mem_zero(hash_value(v, e, 0), copies);
		mem_copy(hash_value(v, e, put->c->cpu), put->value, v->value_size);
	}
	at_store_rel(&e->next, link_after(at_load(&e->next), succ, 0));
}

/* The key was not there. 0, -E2BIG, or -EAGAIN: look again. */
static int put_insert(struct hash_put *put, struct hash_pos *pos)
{
	if (!put_take(put, HASH_ENTRY) && hash_is_lru(put->v))
		return hash_lru_evict(put->v, put->c) ? -EAGAIN : -ENOMEM;
	if (!put->held)
		return hash_pool_wait(put->v, put->c, &put->patience) ? -EAGAIN : -E2BIG;
	put_fill(put, link_index(pos->head_was));
	if (hash_is_lru(put->v))
		at_store(hash_used_mark(put->v, put->held), 0);
	if (!at_cas(hash_head(put->v, put->hash), &pos->head_was,
		    link_after(pos->head_was, put->held, 0)))
		return -EAGAIN;
	put->held = 0;
	return 0;
}

/* A full map with no spare element left (each lost by a killed process) cannot replace: -ENOMEM. */
static int put_replace(struct hash_put *put, struct hash_pos *pos)
{
	u32 made;

	if (!put_take(put, HASH_SPARE) && !put_take(put, HASH_ENTRY))
		return -ENOMEM;
	put_fill(put, link_index(pos->next));
	made = put->held;
	if (hash_is_lru(put->v))
		at_store(hash_used_mark(put->v, made), 1);
	if (!at_cas(&pos->elem->next, &pos->next, link_after(pos->next, made, HASH_REMOVED)))
		return -EAGAIN;
	put->held = 0;
	if (hash_bypass(put->v, put->hash, pos, made))
		hash_pool_give(put->v, put->c->cpu, put->class, pos->idx);
	return 0;
}

/* The key is there. 0, -ENOMEM, or -EAGAIN: look again. */
static int put_existing(struct hash_put *put, struct hash_pos *pos)
{
	const struct nt_map_view *v = put->v;
	struct hash_elem *e = pos->elem;
	u64 word = 0;

	if (hash_is_lru(v))
		at_store(hash_used_mark(v, pos->idx), 1);
	if (hash_is_small(v)) {
		mem_copy(&word, put->value, v->value_size);
		return pair_cas(&e->next, pos->next, at_load(&e->small), pos->next, word) ? 0
											  : -EAGAIN;
	}
	if (!hash_is_percpu(v) || put->sys)
		return put_replace(put, pos);
	mem_copy(hash_value(v, e, put->c->cpu), put->value, v->value_size);
	return 0;
}

static int put_run(struct hash_put *put, u64 flags)
{
	struct hash_pos pos;
	int r = -EAGAIN;

	put->hash = hash_of(put->v, put->key);
	for (u32 tries = HASH_TRIES; r == -EAGAIN && tries; tries--) {
		int found = hash_find(put->v, put->key, put->hash, &pos);

		if (found < 0)
			r = -EBUSY;
		else if (found)
			r = flags == BPF_NOEXIST ? -EEXIST : put_existing(put, &pos);
		else
			r = flags == BPF_EXIST ? -ENOENT : put_insert(put, &pos);
	}
	put_drop(put);
	return r == -EAGAIN ? -EBUSY : r;
}

/* htab_map_update_elem(), htab_percpu_map_update_elem() */
int hash_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		const void *value, u64 flags, bool sys)
{
	struct hash_put put = {.v = v, .c = c, .key = key, .value = value, .sys = sys};

	if (flags > BPF_EXIST || (!sys && hash_is_percpu(v) && c->cpu >= v->ncpus))
		return -EINVAL;
	return put_run(&put, flags);
}

int hash_update_tailed(const struct nt_map_view *v, const struct nt_caller *c, const void *key, const void *value,
		       u32 size, const void *tail, u32 tail_size, u64 flags)
{
	struct hash_put put = {
	    .v = v, .c = c, .key = key, .value = value, .head_size = size, .tail = tail, .tail_size = tail_size};

	return put_run(&put, flags);
}

/* --- the system call's side --- */

int hash_sys_lookup(const struct nt_map_view *v, const void *key, void *value)
{
	u32 hash = hash_of(v, key), uses;
	struct hash_pos pos;

	for (u32 tries = HASH_TRIES; tries; tries--) {
		int found = hash_find(v, key, hash, &pos);

		if (found <= 0)
			return found ? -EBUSY : -ENOENT;
		uses = at_load_acq(&pos.elem->uses);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(&pos.elem->next) != pos.next)
			continue; /* perhaps reused already */
		hash_copy_out(v, pos.elem, value);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(&pos.elem->uses) == uses)
			return 0;
	}
	return -EBUSY;
}

/* The key of the first element behind a link. 1: copied, 0: end of the chain, -EAGAIN: the chain
 * changed. */
static int hash_key_behind(const struct nt_map_view *v, const u64 *prev, u64 was, void *ret_key)
{
	u32 idx = link_index(was), steps = HASH_STEPS;

	while (idx) {
		struct hash_elem *e = hash_elem(v, idx);
		u64 next;

		if (!e || !steps--)
			return -EBUSY;
		next = at_load_acq(&e->next);
		if (!(next & HASH_REMOVED))
			mem_copy(ret_key, e->key, v->key_size);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (at_load(prev) != was)
			return -EAGAIN;
		if (!(next & HASH_REMOVED))
			return 1;
		idx = link_index(next);
	}
	return 0;
}

/* The key behind `key` in its own bucket; 0 and *ret_bucket: go on with that bucket. */
static int hash_next_in_bucket(const struct nt_map_view *v, const void *key, void *next,
			       u32 *ret_bucket)
{
	u32 hash = hash_of(v, key);
	struct hash_pos pos;
	int r = -EAGAIN;

	for (u32 tries = HASH_TRIES; r == -EAGAIN && tries; tries--) {
		r = hash_find(v, key, hash, &pos);
		if (r < 0)
			return -EBUSY;
		if (!r) {
			*ret_bucket = 0;
			return 0;
		}
		r = hash_key_behind(v, &pos.elem->next, pos.next, next);
	}
	if (!r)
		*ret_bucket = (hash & (v->nbuckets - 1)) + 1;
	return r;
}

/* htab_map_get_next_key() */
int hash_next_key(const struct nt_map_view *v, const void *key, void *next)
{
	u32 bucket = 0;
	int r = key ? hash_next_in_bucket(v, key, next, &bucket) : 0;

	for (; !r && bucket < v->nbuckets; bucket++) {
		u64 *head = hash_head(v, bucket);

		r = -EAGAIN;
		for (u32 tries = HASH_TRIES; r == -EAGAIN && tries; tries--)
			r = hash_key_behind(v, head, at_load_acq(head), next);
	}
	if (!r)
		return -ENOENT;
	return r > 0 ? 0 : -EBUSY;
}
