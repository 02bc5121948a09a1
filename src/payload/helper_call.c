/* SPDX-License-Identifier: MIT */
/*
 * Helpers that call a function of the program: bpf_loop, bpf_for_each_map_elem. A function of a
 * program is compiled as an ordinary C function of up to five arguments that keeps all callee-saved
 * registers; it needs r12 as the program has it, which we never change.
 */
#include <asm/errno.h>

#include "maps/maps.h"
#include "payload/thread.h"

#define LOOPS_MAX (1u << 23)

u64 helper_loop(u64 n, u64 callback, u64 ctx, u64 flags, u64 r5)
{
	helper_fn *fn = (void *)callback;
	u32 i, loops = (u32)n;

	if (flags)
		return (u64)-EINVAL;
	if (loops > LOOPS_MAX)
		return (u64)-E2BIG;
	for (i = 0; i < loops; i++)
		if (fn(i, ctx, 0, 0, 0))
			return i + 1;
	return i;
}
