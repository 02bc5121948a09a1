/* SPDX-License-Identifier: MIT */
/* bpf_map_{lookup,update,delete,push,pop,peek}_elem. */
#include <linux/bpf.h>

#include "base/atomic.h"
#include "maps/maps.h"
#include "payload/kernel.h"
#include "payload/thread.h"

/* Where the inner map is in this process, NULL: not (yet). */
static void *inner_view(const u32 *id)
{
	u32 want = id ? at_load_acq(id) : 0;

	for (u32 n = 0; want && n < NT_MAX_INNER; n++) {
		const struct nt_inner *e = &nt_state.inner[(want + n) % NT_MAX_INNER];
		u32 is = at_load_acq(&e->id);

		if (is == want)
			return (void *)at_load(&e->view);
		if (!is)
			break;
	}
	return NULL;
}

u64 helper_map_lookup(u64 map, u64 key, u64 r3, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	/* A look-up takes no lock, so it does not pay for a thread id that only the kernel knows.
	 */
	struct nt_caller c = {.tid = nt_state.tid_off ? thread_tid() : 0, .cpu = thread_cpu_of(v)};

	if (v->type == BPF_MAP_TYPE_ARRAY_OF_MAPS || v->type == BPF_MAP_TYPE_HASH_OF_MAPS)
		return (u64)inner_view(map_lookup(v, &c, (void *)key));
	return (u64)map_lookup(v, &c, (void *)key);
}

/* What compiled code calls when it knows the map: nothing is left to find out. */
u64 helper_hash_lookup4(u64 map, u64 key, u64 r3, u64 r4, u64 r5)
{
	return (u64)map_hash_lookup4((void *)map, (void *)key);
}

u64 helper_hash_lookup8(u64 map, u64 key, u64 r3, u64 r4, u64 r5)
{
	return (u64)map_hash_lookup8((void *)map, (void *)key);
}

u64 helper_hash_lookup(u64 map, u64 key, u64 r3, u64 r4, u64 r5)
{
	return (u64)map_hash_lookup((void *)map, (void *)key);
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
