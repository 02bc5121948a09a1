/* SPDX-License-Identifier: MIT */
/*
 * User ring buffer: the loader writes, programs drain. Follows bpf_user_ringbuf_drain() in kernel/bpf/ringbuf.c; the
 * file is that of a ring buffer (abi/map.h). In the kernel the two copies of the data are the same memory, here they are
 * not; so a sample is read where libbpf writes it: from its position in the first copy on, even when its header is the
 * last word there, and past the end.
 *
 * One drain at a time, under the lock; its holder may be killed in the middle of a callback: then the next one begins
 * with the same sample. Positions and lengths are the loader's: nothing that they say leads outside the two copies.
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "maps/lock.h"
#include "maps/types.h"

#define SAMPLE_MAX 0xffffffu /* of a dynptr */

static u64 *cons_pos(const struct nt_map_view *v)
{
	return (u64 *)(void *)(v->base + NT_RING_CONS_OFF);
}

static u64 *prod_pos(const struct nt_map_view *v)
{
	return (u64 *)(void *)(v->base + NT_RING_PROD_OFF);
}

static struct nt_ring_ctl *ctl_of(const struct nt_map_view *v)
{
	return (struct nt_ring_ctl *)(void *)(v->base + v->ctl_off);
}

bool user_ring_begin(const struct nt_map_view *v, const struct nt_caller *c)
{
	return map_lock_try(&ctl_of(v)->lock, c);
}

void user_ring_end(const struct nt_map_view *v, const struct nt_caller *c)
{
	map_lock_drop(&ctl_of(v)->lock, c->tid);
}

int user_ring_peek(const struct nt_map_view *v, struct user_sample *ret)
{
	u64 prod = at_load_acq(prod_pos(v)), cons = at_load_acq(cons_pos(v)), total;
	u64 mask = v->max_entries - 1;
	u32 *hdr, word, len;

	if (prod % 8)
		return -EINVAL;
	if (cons >= prod)
		return -ENODATA;
	/* cons is ours, but its page is shared, too */
	cons &= ~7ull;
	hdr = (u32 *)(void *)(v->base + v->data_off + (cons & mask));
	word = at_load_acq(hdr);
	len = word & ~(NT_RING_BUSY | NT_RING_DISCARD);
	total = bits_round_up((u64)len + NT_RING_HDR, 8ull);
	if (total > prod - cons)
		return -EINVAL;
	if (total > v->max_entries || len > SAMPLE_MAX)
		return -E2BIG;
	if (word & NT_RING_DISCARD) {
		at_store_rel(cons_pos(v), cons + total);
		return -EAGAIN;
	}
	if (word & NT_RING_BUSY)
		return -ENODATA;
	*ret = (struct user_sample){.data = v->base + v->data_off + ((cons + NT_RING_HDR) & mask), .size = len, .next = cons + total};
	return 0;
}

void user_ring_release(const struct nt_map_view *v, const struct user_sample *s)
{
	at_store_rel(cons_pos(v), s->next);
}
