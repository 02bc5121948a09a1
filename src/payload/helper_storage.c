/* SPDX-License-Identifier: MIT */
/*
 * bpf_task_storage_get, _delete, bpf_map_lookup_percpu_elem. The only task that a program can
 * get hold of is its own, so the handle (bpf_get_current_task_btf, the same number as bpf_get_current_task's) says nothing.
 */
#include <asm/errno.h>
#include <linux/bpf.h>

#include "maps/maps.h"
#include "payload/thread.h"

static struct nt_task current_task(void)
{
	return (struct nt_task){.ns = nt_state.pidns_ino, .tid = thread_tid()};
}

u64 helper_task_storage_get(u64 map, u64 task, u64 value, u64 flags, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = thread_caller(v);
	struct nt_task t = current_task();

	if (flags & ~(u64)BPF_LOCAL_STORAGE_GET_F_CREATE || !task)
		return 0;
	return (u64)map_task_get(v, &c, &t, flags, (void *)value);
}

u64 helper_task_storage_delete(u64 map, u64 task, u64 r3, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = thread_caller(v);
	struct nt_task t = current_task();

	return (u64)(s64)(task ? map_task_delete(v, &c, &t) : -EINVAL);
}

u64 helper_map_lookup_percpu(u64 map, u64 key, u64 cpu, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = {.cpu = (u32)cpu};

	return (u32)cpu < v->ncpus ? (u64)map_lookup(v, &c, (void *)key) : 0;
}
