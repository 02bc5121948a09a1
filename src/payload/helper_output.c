/* SPDX-License-Identifier: MIT */
/* bpf_perf_event_output. */
#include "abi/output.h"
#include "base/atomic.h"
#include "maps/maps.h"
#include "payload/bell.h"
#include "payload/kernel.h"
#include "payload/thread.h"

u64 helper_perf_event_output(u64 ctx, u64 map, u64 flags, u64 data, u64 size)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_out_ctl *wake = NULL;
	struct nt_caller c = thread_caller(v);
	int r;

	if (!c.tid)
		return (u64)-EPERM;
	c.cpu = thread_cpu(); /* an index, not one of the map's CPUs */
	r = output_event(v, &c, (void *)data, size, flags, &wake);
	if (wake && at_xchg(&wake->armed, 0) == 1)
		bell_ring();
	return (u64)(s64)r;
}
