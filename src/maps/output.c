/* SPDX-License-Identifier: MIT */
/*
 * bpf_perf_event_output(): one record into the perf buffer of an event. Follows kernel/trace/bpf_trace.c
 * (____bpf_perf_event_output) and kernel/events/ring_buffer.c; layout in abi/output.h.
 *
 * The kernel's buffers have one writer, the CPU. Ours have any thread that ran on that CPU a moment ago, so a lock
 * orders them (lock.h). Its holder
 *
 *     1. copies the record behind ctl->head      nobody looks there
 *     2. stores ctl->head                        the commit point
 *     3. stores data_head                        the reader may look
 *
 * Killed between 2 and 3, the record is published by who takes the lock over, with its own.
 * What the loader can write (data_tail, all of its mapping) decides only whether there is room.
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/perf_event.h>

#include "abi/output.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "maps/lock.h"
#include "maps/types.h"

#define OUT_RECORD_MAX 0xfff8u /* perf_event_header.size has 16 bits */

struct out_sample { /* of an event with PERF_SAMPLE_RAW and nothing else */
	struct perf_event_header hdr;
	u32 size;
};

struct out_lost {
	struct perf_event_header hdr;
	u64 id;
	u64 lost;
};

struct out_ring {
	struct nt_out_ctl *ctl;
	u64 *head, *tail; /* data_head, data_tail */
	u8 *data;
	u64 mask; /* bytes of data - 1 */
};

static struct nt_out_ctl *out_ctl(const struct nt_map_view *v, u32 page)
{
	if (!v->outputs || !page || page >= NT_OUT_ARENA_PAGES)
		return NULL;
	return (struct nt_out_ctl *)(void *)(v->outputs + (u64)page * NT_PAGE);
}

/* False: not mapped by its loader. */
static bool out_ring_find(const struct nt_map_view *v, struct nt_out_ctl *ctl, struct out_ring *ret)
{
	u32 page = at_load_acq(&ctl->ring), order = at_load(&ctl->order);
	u8 *at;

	if (!page || order > NT_OUT_ORDER_MAX || (u64)page + 1 + (1u << order) > NT_OUT_ARENA_PAGES)
		return false;
	at = v->outputs + (u64)page * NT_PAGE;
	ret->ctl = ctl;
	ret->head = (u64 *)(void *)(at + NT_OUT_HEAD_OFF);
	ret->tail = (u64 *)(void *)(at + NT_OUT_TAIL_OFF);
	ret->data = at + NT_PAGE;
	ret->mask = ((u64)NT_PAGE << order) - 1;
	return true;
}

static void out_copy(const struct out_ring *r, u64 pos, const void *from, u64 size)
{
	u64 off = pos & r->mask, first = bits_min(size, r->mask + 1 - off);

	mem_copy(r->data + off, from, first);
	mem_copy(r->data, (const u8 *)from + first, size - first);
}

/* perf_output_put_handle() and perf_output_end(): has the reader to be woken? */
static bool out_is_wake(struct nt_out_ctl *ctl, u64 head)
{
	u32 every = at_load(&ctl->wake_events), events;
	bool wake = false;

	if (head - at_load(&ctl->wake_at) > at_load(&ctl->wake_bytes)) {
		at_store(&ctl->wake_at, at_load(&ctl->wake_at) + at_load(&ctl->wake_bytes));
		wake = true;
	}
	if (every) {
		events = at_load(&ctl->events) + 1;
		wake |= events >= every;
		at_store(&ctl->events, events >= every ? 0 : events);
	}
	return wake;
}

/* With the lock. */
static int out_write(const struct out_ring *r, const void *data, u64 size, bool *ret_wake)
{
	struct nt_out_ctl *ctl = r->ctl;
	u64 raw = bits_round_up(size + sizeof(u32), 8ull) - sizeof(u32);
	u64 len = sizeof(struct out_sample) + raw, lost = at_load(&ctl->lost), head = at_load(&ctl->head);
	u64 pos = head, need = len + (lost ? sizeof(struct out_lost) : 0), zero = 0;
	struct out_sample sample = {{PERF_RECORD_SAMPLE, 0, (u16)len}, (u32)raw};

	/* CIRC_SPACE(): one byte always stays free. */
	if (!(at_load(&ctl->flags) & NT_OUT_OVERWRITE) && ((at_load_acq(r->tail) - head - 1) & r->mask) < need) {
		at_store(&ctl->lost, lost + 1);
		return -ENOSPC;
	}
	if (need > r->mask)
		return -ENOSPC;
	if (lost) {
		struct out_lost record = {{PERF_RECORD_LOST, 0, sizeof(record)}, at_load(&ctl->id), lost};

		out_copy(r, pos, &record, sizeof(record));
		pos += sizeof(record);
	}
	out_copy(r, pos, &sample, sizeof(sample));
	out_copy(r, pos + sizeof(sample), data, size);
	out_copy(r, pos + sizeof(sample) + size, &zero, raw - size);
	pos += len;
	at_store_rel(&ctl->head, pos);
	if (lost)
		at_store(&ctl->lost, 0);
	at_store_rel(r->head, pos);
	*ret_wake = out_is_wake(ctl, pos);
	return 0;
}

int output_event(const struct nt_map_view *v, const struct nt_caller *c, const void *data, u64 size, u64 flags,
		 struct nt_out_ctl **ret_wake)
{
	u64 idx = flags & BPF_F_INDEX_MASK;
	struct nt_out_ctl *ctl;
	struct out_ring ring;
	bool wake = false;
	u64 *slot;
	int r;

	if (flags & ~(u64)BPF_F_INDEX_MASK)
		return -EINVAL;
	if (size + sizeof(struct out_sample) + sizeof(struct out_lost) > OUT_RECORD_MAX)
		return -E2BIG;
	slot = map_slot(v, idx == BPF_F_CURRENT_CPU ? c->cpu : (u32)idx);
	if (!slot)
		return -E2BIG;
	ctl = out_ctl(v, (u32)at_load_acq(slot));
	if (!ctl)
		return -ENOENT;
	if (at_load(&ctl->flags) & NT_OUT_DISABLED)
		return -EOPNOTSUPP;
	if (!out_ring_find(v, ctl, &ring))
		return -ENOSPC;
	if (!map_lock_take(&ctl->lock, c)) {
		at_add(&ctl->lost, 1ull);
		return -EBUSY;
	}
	r = out_write(&ring, data, size, &wake);
	map_lock_drop(&ctl->lock, c->tid);
	if (wake)
		*ret_wake = ctl;
	return r;
}
