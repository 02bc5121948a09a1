/* SPDX-License-Identifier: MIT */
/*
 * Task storage: a value per thread. Follows kernel/bpf/bpf_task_storage.c and bpf_local_storage.c; where the kernel
 * hangs the values onto the thread, here is a hash map whose keys are thread ids, of memory that is there when it is
 * touched. Two threads of different pid namespaces may have the same id, so the namespace is part of the key.
 *
 * The kernel frees a thread's values when the thread ends. Here the broker looks for elements of threads that are not
 * there any more (task_reap), twice a second; an id is not used again that soon.
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/bits.h"
#include "maps/types.h"

#define TASKS_MAX 65536u /* the kernel has no limit */
#define TASK_F_CLONE (1u << 9)
#define TASK_FLAGS (BPF_F_NO_PREALLOC | TASK_F_CLONE)
#define TASK_KERNEL_ELEM 600u /* MAX_BPF_STACK, sizeof(struct bpf_local_storage_elem) */

/* The hash map inside. */
static void task_hash(const struct nt_map_view *v, struct nt_map_view *ret)
{
	*ret = *v;
	ret->type = BPF_MAP_TYPE_HASH;
	ret->key_size = sizeof(u64);
	ret->max_entries = TASKS_MAX;
	ret->flags = BPF_F_NO_PREALLOC;
	ret->ncpus = 1;
}

/* bpf_local_storage_map_alloc_check(); that key and value have BTF is for the broker to see. */
int task_geometry(struct nt_map_view *v)
{
	struct nt_map_view h;
	int r;

	if (v->flags & ~TASK_FLAGS || !(v->flags & BPF_F_NO_PREALLOC) || v->max_entries || v->key_size != 4 ||
	    !v->value_size)
		return -EINVAL;
	if (v->value_size > MAP_KMALLOC_MAX - TASK_KERNEL_ELEM)
		return -E2BIG;
	task_hash(v, &h);
	r = hash_geometry(&h);
	if (r < 0)
		return r == -E2BIG ? -ENOMEM : r;
	h.type = v->type;
	h.key_size = v->key_size;
	h.max_entries = 0;
	h.flags = v->flags;
	*v = h;
	return 0;
}

void task_init(const struct nt_map_view *v)
{
	struct nt_map_view h;

	task_hash(v, &h);
	hash_init(&h);
}

static u64 task_key(const struct nt_task *t)
{
	return (t->ns & 0x7fffffff) << 32 | t->tid;
}

void *map_task_get(const struct nt_map_view *v, const struct nt_caller *c, const struct nt_task *t, bool create,
		   const void *init)
{
	struct nt_map_view h;
	u64 key = task_key(t);
	void *value;

	if (!t->tid)
		return NULL;
	task_hash(v, &h);
	value = hash_lookup(&h, 0, &key);
	if (value || !create)
		return value;
	/* -EEXIST: a handler on top of us, or the loader, was faster */
	hash_update(&h, c, &key, init, BPF_NOEXIST, false);
	return hash_lookup(&h, 0, &key);
}

int map_task_lookup(const struct nt_map_view *v, const struct nt_task *t, void *value)
{
	struct nt_map_view h;
	u64 key = task_key(t);

	task_hash(v, &h);
	return hash_sys_lookup(&h, &key, value);
}

int map_task_update(const struct nt_map_view *v, const struct nt_caller *c, const struct nt_task *t, const void *value,
		    u64 flags)
{
	struct nt_map_view h;
	u64 key = task_key(t);

	task_hash(v, &h);
	return hash_update(&h, c, &key, value, flags, true);
}

int map_task_delete(const struct nt_map_view *v, const struct nt_caller *c, const struct nt_task *t)
{
	struct nt_map_view h;
	u64 key = task_key(t);

	task_hash(v, &h);
	return t->tid ? hash_delete(&h, c, &key, NULL) : -ENOENT;
}

#define VISITS_MAX (2 * TASKS_MAX) /* elements that one pass looks at: others insert meanwhile, and memory may be corrupted */
#define FAILURES_MAX 16u	   /* a delete that fails has followed a chain for long */

struct reaping {
	u64 ns;
	bool (*is_dead)(u32 tid, void *arg);
	void *arg;
	u32 visits, failures, reaped;
};

static bool task_is_dead(struct reaping *p, u64 key)
{
	return key >> 32 == (p->ns & 0x7fffffff) && p->is_dead((u32)key, p->arg);
}

/* One bucket, once: what is deleted leaves its link as it was, so the walk goes on behind it. */
static void reap_bucket(struct reaping *p, const struct nt_map_view *h, const struct nt_caller *c, u32 bucket)
{
	u64 link = 0, key;

	while (hash_chain_next(h, bucket, &link, &key) && p->visits < VISITS_MAX && p->failures < FAILURES_MAX) {
		p->visits++;
		if (!task_is_dead(p, key))
			continue;
		if (hash_delete(h, c, &key, NULL))
			p->failures++;
		else
			p->reaped++;
	}
}

u32 map_task_reap(const struct nt_map_view *v, const struct nt_caller *c, u64 ns, bool (*is_dead)(u32 tid, void *arg),
		  void *arg)
{
	struct reaping p = {.ns = ns, .is_dead = is_dead, .arg = arg};
	struct nt_map_view h;

	task_hash(v, &h);
	for (u32 bucket = 0; bucket < h.nbuckets; bucket++)
		reap_bucket(&p, &h, c, bucket);
	return p.reaped;
}
