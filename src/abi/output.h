/* SPDX-License-Identifier: MIT */
/*
 * Perf buffers: where bpf_perf_event_output() writes.
 *
 * All perf events of a broker that can be written to lie in one sparse memfd, the arena. A process that runs a program
 * with a perf event array maps it once; events that are opened, mapped and put into the array afterwards are there
 * without another mapping. A slot of the array holds the number of an event's control page, 0 = no event. The control
 * page says where the event's ring is, once the loader has mapped it:
 *
 *     arena: ... [control page of event A] ... [struct perf_event_mmap_page][data: 2^order pages] ...
 *
 * What the loader maps is the ring alone, in the kernel's layout (include/uapi/linux/perf_event.h). All of it is
 * hostile memory: numbers are checked against the arena's size before use.
 */
#pragma once

#include "abi/map.h"

#define NT_OUT_ARENA_SIZE (1ull << 30)
#define NT_OUT_ARENA_PAGES ((u32)(NT_OUT_ARENA_SIZE / NT_PAGE))
#define NT_OUT_ORDER_MAX 16u /* data of one ring: 256 MiB */

/* Fields of struct perf_event_mmap_page that we use. */
#define NT_OUT_HEAD_OFF 1024u
#define NT_OUT_TAIL_OFF 1032u
#define NT_OUT_DATA_OFF_OFF 1040u
#define NT_OUT_DATA_SIZE_OFF 1048u

#define NT_OUT_DISABLED 2u  /* PERF_EVENT_IOC_DISABLE */
#define NT_OUT_OVERWRITE 1u /* mapped read-only: there is no reader to wait for, old records are overwritten */

struct nt_out_ctl {
	struct nt_lock lock;
	u32 ring;  /* page of the ring, 0 = not mapped yet */
	u32 order; /* its data has 2^order pages */
	u32 flags; /* NT_OUT_* */
	u32 cpu;   /* the event's */
	u64 id;	   /* of the event: in PERF_RECORD_LOST */
	u64 head;  /* where the next record goes: data_head as nobody but a producer may change it */
	u64 lost;  /* records that did not fit since the last PERF_RECORD_LOST */
	/* When to wake: every so many events, or when so many bytes came since the last time. */
	u32 wake_events; /* 0 = by bytes only */
	u32 events;	 /* since the last wake-up by number */
	u64 wake_bytes;
	u64 wake_at; /* data_head of the last wake-up by bytes */
	u32 armed;   /* as in struct nt_ring_ctl */
	u32 pad;
};
_Static_assert(sizeof(struct nt_out_ctl) <= NT_PAGE, "one page");
