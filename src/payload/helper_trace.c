/* SPDX-License-Identifier: MIT */
/* bpf_trace_printk, bpf_trace_vprintk: a record in the trace ring, which `notrap trace` shows.
 * Never the target's standard output. As in the kernel the result is the text's length, whether or
 * not there is room for it. */
#include "base/bits.h"
#include "maps/maps.h"
#include "payload/bell.h"
#include "payload/clock.h"
#include "payload/comm.h"
#include "payload/format.h"
#include "payload/ids.h"
#include "payload/kernel.h"
#include "payload/thread.h"

#define TEXT_MAX 1023u

/* The text is made twice, first to know its length: it goes straight into the ring, the stack is
 * not ours. */
static void trace_write(u32 len, const char *fmt, u32 fmt_size, const u64 *arg, u32 nargs)
{
	const struct nt_map_view *v = &nt_state.trace;
	struct nt_caller c = thread_caller(v);
	struct nt_trace_rec *rec;
	u64 ids = ids_current();

	if (!c.tid || !ids)
		return;
	rec = ring_reserve(v, &c, sizeof(*rec) + len + 1);
	if (!rec)
		return;
	rec->ts = clock_ns(CLOCK_ID_MONOTONIC);
	rec->tgid = (u32)(ids >> 32);
	rec->tid = (u32)ids;
	rec->cpu = thread_cpu();
	rec->len = len;
	comm_get(rec->comm);
	format_text(rec->text, len + 1, fmt, fmt_size, arg, nargs);
	if (ring_submit(v, rec, 0, false))
		bell_ring_if_armed(v);
}

static u64 trace(const char *fmt, u32 fmt_size, const u64 *arg, u32 nargs)
{
	s64 len = format_text(NULL, 0, fmt, fmt_size, arg, nargs);

	if (len >= 0 && nt_state.trace.base)
		trace_write((u32)bits_min(len, (s64)TEXT_MAX), fmt, fmt_size, arg, nargs);
	return (u64)len;
}

u64 helper_trace_printk(u64 fmt, u64 fmt_size, u64 r3, u64 r4, u64 r5)
{
	u64 arg[3] = {r3, r4, r5};

	return trace((void *)fmt, (u32)fmt_size, arg, 3);
}

u64 helper_trace_vprintk(u64 fmt, u64 fmt_size, u64 data, u64 data_len, u64 r5)
{
	u32 n = (u32)data_len / sizeof(u64);

	if ((u32)data_len % sizeof(u64) || n > FORMAT_ARGS_MAX || (n && !data))
		return (u64)-EINVAL;
	return trace((void *)fmt, (u32)fmt_size, (void *)data, n);
}
