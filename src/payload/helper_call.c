/* SPDX-License-Identifier: MIT */
/*
 * Helpers that call a function of the program, bpf_loop and bpf_for_each_map_elem (callback.h), and
 * bpf_tail_call.
 */
#include <asm/errno.h>

#include "base/atomic.h"
#include "payload/callback.h"

#define LOOPS_MAX (1u << 23)
#define TAIL_CALLS_MAX 33u

u64 callback_loop(u64 n, u64 fn, u64 data, u64 flags, u64 r5, u64 keep)
{
	u32 i, loops = (u32)n;

	if (flags)
		return (u64)-EINVAL;
	if (loops > LOOPS_MAX)
		return (u32)-E2BIG; /* 32 bits: what the kernel's inlined loop gives */
	for (i = 0; i < loops; i++)
		if (callback_call(fn, i, data, 0, 0, keep))
			return i + 1;
	return i;
}

/*
 * bpf_tail_call: where to go on, 0 = nowhere. In a process the memory behind a program array's view
 * is this process' own: the addresses of the programs, written by the broker.
 */
u64 helper_tail_call(u64 ctx, u64 map, u64 index, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	u32 *count = (u32 *)(ctx + NT_CTX_TAIL_CALLS);
	u64 entry;

	if ((u32)index >= v->max_entries || *count >= TAIL_CALLS_MAX)
		return 0;
	entry = at_load_acq((const u64 *)v->base + (u32)index);
	*count += !!entry;
	return entry;
}
