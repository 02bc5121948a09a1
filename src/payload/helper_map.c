/* SPDX-License-Identifier: MIT */
/* bpf_map_{lookup,update,delete,push,pop,peek}_elem. */
#include "maps/maps.h"
#include "payload/kernel.h"
#include "payload/thread.h"

u64 helper_map_lookup(u64 map, u64 key, u64 r3, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	/* A look-up takes no lock, so it does not pay for a thread id that only the kernel knows.
	 */
	struct nt_caller c = {.tid = nt_state.tid_off ? thread_tid() : 0, .cpu = thread_cpu_of(v)};

	return (u64)map_lookup(v, &c, (void *)key);
}

u64 helper_map_update(u64 map, u64 key, u64 value, u64 flags, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = thread_caller(v);

	if (!c.tid)
		return (u64)-EPERM;
	return (u64)(s64)map_update(v, &c, (void *)key, (void *)value, flags);
}

u64 helper_map_delete(u64 map, u64 key, u64 r3, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = thread_caller(v);

	if (!c.tid)
		return (u64)-EPERM;
	return (u64)(s64)map_delete(v, &c, (void *)key);
}

u64 helper_map_push(u64 map, u64 value, u64 flags, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = thread_caller(v);

	return (u64)(s64)map_push(v, &c, (void *)value, flags);
}

u64 helper_map_pop(u64 map, u64 value, u64 r3, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = thread_caller(v);

	return (u64)(s64)map_pop(v, &c, (void *)value);
}

u64 helper_map_peek(u64 map, u64 value, u64 r3, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = thread_caller(v);

	return (u64)(s64)map_peek(v, &c, (void *)value);
}
