/* SPDX-License-Identifier: MIT */
/*
 * Ring buffer: many producers in many processes, one consumer. Follows kernel/bpf/ringbuf.c; file
 * layout in abi/map.h.
 *
 *        cons_pos                    prod_pos
 *           |                           |
 *     ------+------+------+------+------+----------
 *       old | done | BUSY | done | BUSY |  free
 *     ------+------+------+------+------+----------
 *
 * Reserve, under the lock of lock.h. Its holder reads the positions,
 * writes the header (BUSY) at prod_pos and then stores prod_pos. That store is the commit point:
 * before it nothing that anybody looks at has changed (what lies behind prod_pos is nobody's),
 * after it the record exists and is BUSY. So a holder may be killed at any instruction and whoever
 * finds it dead may take the lock over as it stands: there is nothing to repair. A dead owner runs
 * no further instruction, so the new owner is alone.
 *
 * Submit. The header's first word goes from BUSY to the length in one compare-and-swap: only the
 * record's owner or the reaper of a dead owner finishes it, once.
 *
 * Hostile memory. Positions are masked before use and every record lies inside the two copies of
 * the data; a wrong position loses or mixes records, it never leads outside.
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "maps/lock.h"
#include "maps/types.h"

#define RING_RECORD_MAX (0xffffffffu / 4)
#define RING_LEN_MASK (~(NT_RING_BUSY | NT_RING_DISCARD))
struct ring_hdr {
	u32 len;
	u32 owner;
};
_Static_assert(sizeof(struct ring_hdr) == NT_RING_HDR, "the kernel's header size");

/* ringbuf_map_alloc() */
int ring_geometry(struct nt_map_view *v)
{
	if (v->flags & ~(u32)BPF_F_NUMA_NODE)
		return -EINVAL;
	if (v->key_size || v->value_size || !bits_is_pow2(v->max_entries) ||
	    v->max_entries % NT_PAGE)
		return -EINVAL;
	v->ncpus = 1;
	v->data_off = NT_RING_DATA_OFF;
	v->ctl_off = NT_RING_DATA_OFF + 2 * (u64)v->max_entries;
	v->size = v->ctl_off + NT_PAGE;
	return 0;
}

static u64 *ring_cons(const struct nt_map_view *v)
{
	return (u64 *)(void *)(v->base + NT_RING_CONS_OFF);
}

static u64 *ring_prod(const struct nt_map_view *v)
{
	return (u64 *)(void *)(v->base + NT_RING_PROD_OFF);
}

static struct nt_ring_ctl *ring_ctl(const struct nt_map_view *v)
{
	return (struct nt_ring_ctl *)(void *)(v->base + v->ctl_off);
}

/* Any position gives an aligned header inside the first copy. */
static struct ring_hdr *ring_hdr_at(const struct nt_map_view *v, u64 pos)
{
	u64 off = pos & (v->max_entries - 1) & ~7ull;

	return (struct ring_hdr *)(void *)(v->base + v->data_off + off);
}

/* __bpf_ringbuf_reserve() */
void *ring_reserve(const struct nt_map_view *v, const struct nt_caller *c, u64 size)
{
	struct nt_ring_ctl *ctl = ring_ctl(v);
	u64 mask = v->max_entries - 1, cons, prod, next;
	struct ring_hdr *hdr = NULL;
	u64 len;

	if (size > RING_RECORD_MAX)
		return NULL;
	len = bits_round_up(size + NT_RING_HDR, 8ull);
	if (len > mask)
		return NULL;
	if (!map_lock_take(&ctl->lock, c))
		return NULL;
	cons = at_load_acq(ring_cons(v));
	prod = at_load(ring_prod(v));
	next = prod + len;
	if (next - cons > mask) {
		at_store(&ctl->dropped, at_load(&ctl->dropped) + 1);
	} else {
		hdr = ring_hdr_at(v, prod);
		at_store(&hdr->len, (u32)size | NT_RING_BUSY);
		at_store(&hdr->owner, c->tid);
		at_store_rel(ring_prod(v), next);
	}
	map_lock_drop(&ctl->lock, c->tid);
	return hdr ? (u8 *)hdr + NT_RING_HDR : NULL;
}

/* bpf_ringbuf_commit() */
bool ring_submit(const struct nt_map_view *v, void *record, u64 flags, bool discard)
{
	u64 mask = v->max_entries - 1;
	u64 off = (u64)((u8 *)record - NT_RING_HDR - (v->base + v->data_off));
	struct ring_hdr *hdr;
	u32 len;

	if (off > mask || off % 8)
		return false;
	hdr = ring_hdr_at(v, off);
	len = at_load(&hdr->len);
	do {
		if (!(len & NT_RING_BUSY))
			return false; /* finished already: a reaper took this thread for dead */
	} while (!at_cas(&hdr->len, &len, (len & ~NT_RING_BUSY) | (discard ? NT_RING_DISCARD : 0)));
	if (flags & BPF_RB_FORCE_WAKEUP)
		return true;
	if (flags & BPF_RB_NO_WAKEUP)
		return false;
	/* The swap above is a full barrier: a consumer that went to sleep before this record is
	 * seen here. */
	return (at_load_acq(ring_cons(v)) & mask) == off;
}

int ring_output(const struct nt_map_view *v, const struct nt_caller *c, const void *data, u64 size,
		u64 flags, bool *ret_wake)
{
	void *record;

	if (flags & ~(u64)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP))
		return -EINVAL;
	record = ring_reserve(v, c, size);
	if (!record)
		return -EAGAIN;
	mem_copy(record, data, size);
	*ret_wake = ring_submit(v, record, flags, false);
	return 0;
}

u64 ring_query(const struct nt_map_view *v, u64 flags)
{
	u64 cons = at_load_acq(ring_cons(v)), prod = at_load_acq(ring_prod(v));

	switch (flags) {
	case BPF_RB_AVAIL_DATA: return prod - cons;
	case BPF_RB_RING_SIZE: return v->max_entries;
	case BPF_RB_CONS_POS: return cons;
	case BPF_RB_PROD_POS: return prod;
	default: return 0;
	}
}

/*
 * Walks the records between the positions. While it walks, finished records may be consumed and
 * their place be written again, so bytes read at pos are a header only if the consumer has still
 * not passed pos afterwards; a header that was BUSY then stays, because neither the consumer passes
 * it nor its dead owner finishes it.
 */
u32 ring_reap(const struct nt_map_view *v, bool (*is_dead)(u32 tid, void *arg), void *arg)
{
	struct nt_ring_ctl *ctl = ring_ctl(v);
	u32 count = 0;
	u64 pos, left;

	map_lock_reap(&ctl->lock, is_dead, arg);
	pos = at_load_acq(ring_cons(v));
	left = at_load_acq(ring_prod(v)) - pos;
	if (left > v->max_entries)
		return 0;
	while (left) {
		struct ring_hdr *hdr = ring_hdr_at(v, pos);
		u32 len = at_load_acq(&hdr->len), tid = at_load_acq(&hdr->owner);
		u64 step = at_load_acq(ring_cons(v)) - pos;

		if ((s64)step <= 0) { /* the consumer has not passed it */
			if ((len & NT_RING_BUSY) && is_dead(tid, arg) &&
			    at_cas(&hdr->len, &len, (len & ~NT_RING_BUSY) | NT_RING_DISCARD))
				count++;
			step = bits_round_up((u64)(len & RING_LEN_MASK) + NT_RING_HDR, 8ull);
		}
		if (step > left)
			break;
		pos += step;
		left -= step;
	}
	return count;
}
