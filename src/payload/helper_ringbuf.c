/* SPDX-License-Identifier: MIT */
/* bpf_ringbuf_output, _reserve, _submit, _discard, _query. */
#include "base/atomic.h"
#include "base/bits.h"
#include "maps/maps.h"
#include "payload/bell.h"
#include "payload/kernel.h"
#include "payload/thread.h"

u64 helper_ringbuf_output(u64 ring, u64 data, u64 size, u64 flags, u64 r5)
{
	const struct nt_map_view *v = (void *)ring;
	struct nt_caller c = thread_caller(v);
	bool wake = false;
	int r;

	if (!c.tid)
		return (u64)-EPERM;
	r = ring_output(v, &c, (void *)data, size, flags, &wake);
	if (wake)
		bell_ring_if_armed(v);
	return (u64)(s64)r;
}

u64 helper_ringbuf_reserve(u64 ring, u64 size, u64 flags, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)ring;
	struct nt_caller c = thread_caller(v);

	return flags || !c.tid ? 0 : (u64)ring_reserve(v, &c, size);
}

/* The ring whose data area, either copy, holds the record. */
static const struct nt_map_view *ring_of(u64 record)
{
	u32 n = at_load_acq(&nt_state.nrings);

	for (u32 i = 0; i < bits_min(n, NT_MAX_RINGS); i++) {
		const struct nt_map_view *v = (void *)at_load_acq(&nt_state.rings[i]);

		if (v && record - (u64)(v->base + NT_RING_DATA_OFF) < 2 * (u64)v->max_entries)
			return v;
	}
	return NULL;
}

static void ring_finish(u64 record, u64 flags, bool discard)
{
	const struct nt_map_view *v = ring_of(record);

	if (v && ring_submit(v, (void *)record, flags, discard))
		bell_ring_if_armed(v);
}

u64 helper_ringbuf_submit(u64 record, u64 flags, u64 r3, u64 r4, u64 r5)
{
	ring_finish(record, flags, false);
	return 0;
}

u64 helper_ringbuf_discard(u64 record, u64 flags, u64 r3, u64 r4, u64 r5)
{
	ring_finish(record, flags, true);
	return 0;
}

u64 helper_ringbuf_query(u64 ring, u64 flags, u64 r3, u64 r4, u64 r5)
{
	return ring_query((void *)ring, flags);
}
