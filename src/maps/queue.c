/* SPDX-License-Identifier: MIT */
/*
 * Queue and stack: values without keys. Follows kernel/bpf/queue_stack_maps.c.
 *
 *     [struct queue_ctl][max_entries + 1 cells]
 *
 * What is in the map is one word, {number of the oldest cell, how many}; an operation is the store of that word, made
 * under a lock. A value is written into the one cell that the map does not use, so who is killed on the way has
 * changed nothing.
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "maps/lock.h"
#include "maps/types.h"

#define QUEUE_FLAGS                                                                                                    \
	(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)
#define QUEUE_PROG_ACCESS (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)

struct queue_ctl {
	struct nt_lock lock;
	u64 state;
	u64 pad[6];
};

struct queue_now {
	u32 first, count;
};

/* queue_stack_map_alloc_check() */
int queue_geometry(struct nt_map_view *v)
{
	u64 bytes;

	if (!v->max_entries || !v->value_size || v->key_size || v->flags & ~QUEUE_FLAGS ||
	    (v->flags & QUEUE_PROG_ACCESS) == QUEUE_PROG_ACCESS)
		return -EINVAL;
	if (v->value_size > MAP_KMALLOC_MAX)
		return -E2BIG;
	v->ncpus = 1;
	v->value_stride = bits_round_up(v->value_size, 8u);
	v->ctl_off = 0;
	v->data_off = sizeof(struct queue_ctl);
	bytes = (u64)v->value_stride * ((u64)v->max_entries + 1);
	if (bytes > MAP_SIZE_MAX)
		return -ENOMEM;
	v->size = bits_round_up(v->data_off + bytes, (u64)NT_PAGE);
	return 0;
}

static struct queue_ctl *queue_ctl(const struct nt_map_view *v)
{
	return (struct queue_ctl *)(void *)(v->base + v->ctl_off);
}

/* Whatever the word says, it is inside. */
static struct queue_now queue_look(const struct nt_map_view *v)
{
	u64 state = at_load(&queue_ctl(v)->state);

	return (struct queue_now){(u32)((state >> 32) % ((u64)v->max_entries + 1)),
				  bits_min((u32)state, v->max_entries)};
}

static void queue_set(const struct nt_map_view *v, u64 first, u32 count)
{
	u64 cells = (u64)v->max_entries + 1;

	at_store_rel(&queue_ctl(v)->state, first % cells << 32 | count);
}

static u8 *queue_cell(const struct nt_map_view *v, u64 n)
{
	return v->base + v->data_off + n % ((u64)v->max_entries + 1) * v->value_stride;
}

/* queue_stack_map_push_elem() */
int queue_push(const struct nt_map_view *v, const struct nt_caller *c, const void *value, u64 flags)
{
	struct nt_lock *lock = &queue_ctl(v)->lock;
	struct queue_now now;
	int r = 0;

	if (flags & BPF_NOEXIST || flags > BPF_EXIST)
		return -EINVAL;
	if (!map_lock_take(lock, c))
		return -EBUSY;
	now = queue_look(v);
	if (now.count == v->max_entries && flags != BPF_EXIST) {
		r = -E2BIG;
	} else {
		mem_copy(queue_cell(v, (u64)now.first + now.count), value, v->value_size);
		if (now.count == v->max_entries) /* the oldest goes */
			queue_set(v, (u64)now.first + 1, now.count);
		else
			queue_set(v, now.first, now.count + 1);
	}
	map_lock_drop(lock, c->tid);
	return r;
}

/* queue_map_pop_elem(), stack_map_pop_elem() and their peeks */
int queue_take(const struct nt_map_view *v, const struct nt_caller *c, void *value, bool leave)
{
	struct nt_lock *lock = &queue_ctl(v)->lock;
	bool newest = v->type == BPF_MAP_TYPE_STACK;
	struct queue_now now;

	if (!map_lock_take(lock, c)) {
		mem_zero(value, v->value_size);
		return -EBUSY;
	}
	now = queue_look(v);
	if (now.count) {
		mem_copy(value, queue_cell(v, (u64)now.first + (newest ? now.count - 1 : 0)), v->value_size);
		if (!leave)
			queue_set(v, (u64)now.first + !newest, now.count - 1);
	} else {
		mem_zero(value, v->value_size);
	}
	map_lock_drop(lock, c->tid);
	return now.count ? 0 : -ENOENT;
}
