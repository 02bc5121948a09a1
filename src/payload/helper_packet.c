/* SPDX-License-Identifier: MIT */
/*
 * Helpers of programs with a network packet (abi/packet.h). Follow net/core/filter.c in what is refused. A packet that
 * is too long for one page goes on in pieces ("frags"): programs see the first piece alone, helpers all.
 */
#include <asm/errno.h>
#include <linux/filter.h>

#include "abi/packet.h"
#include "base/bits.h"
#include "base/mem.h"
#include "payload/payload.h"

#define OFFSET_MAX 0xffffu

static u64 refuse_bytes(u64 to, u32 len)
{
	mem_zero((void *)to, len);
	return (u64)-EFAULT;
}

u64 helper_skb_load_bytes(u64 ctx, u64 offset, u64 to, u64 len, u64 r5)
{
	const struct nt_skb_ctx *c = (void *)ctx;
	u32 off = (u32)offset, n = (u32)len;

	if (off > INT32_MAX || (u64)off + n > c->skb.len)
		return refuse_bytes(to, n);
	mem_copy((void *)to, (const void *)(c->data + off), n);
	return 0;
}

u64 helper_skb_load_bytes_relative(u64 ctx, u64 offset, u64 to, u64 len, u64 start)
{
	const struct nt_skb_ctx *c = (void *)ctx;
	u32 off = (u32)offset, n = (u32)len, front = (u32)start == BPF_HDR_START_MAC ? NT_LINK_HEADER : 0;

	if (off > OFFSET_MAX || (u32)start > BPF_HDR_START_NET || (u64)off + n > (u64)c->skb.len + front)
		return refuse_bytes(to, n);
	mem_copy((void *)to, (const void *)(c->data - front + off), n);
	return 0;
}

/* bpf_skb_load_helper_8, _16, _32: below zero offsets have a base of their own. */
u64 helper_packet_load(u64 ctx, u64 offset, u64 size, u64 r4, u64 r5)
{
	const struct nt_skb_ctx *c = (void *)ctx;
	s64 off = (s32)offset;
	u32 value = 0;

	if (off < SKF_LL_OFF)
		return (u64)-EFAULT;
	if (off < SKF_NET_OFF)
		off -= SKF_LL_OFF + (s64)NT_LINK_HEADER;
	else if (off < 0)
		off -= SKF_NET_OFF;
	if (off + (s64)size > (s64)c->skb.len)
		return (u64)-EFAULT;
	for (u32 i = 0; i < size; i++)
		value = value << 8 | ((const u8 *)(c->data + (u64)off))[i];
	return value;
}

/* One's complement sum of 32-bit words. */
static u64 sum_words(u64 at, u32 size, u64 sum)
{
	for (u32 i = 0; i < size; i += 4) {
		u32 word;

		mem_copy(&word, (const void *)(at + i), sizeof(word));
		sum += word;
	}
	return sum;
}

static u32 fold(u64 sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (u32)((sum & UINT16_MAX) + (sum >> 16));
}

u64 helper_csum_diff(u64 from, u64 from_size, u64 to, u64 to_size, u64 seed)
{
	u32 nfrom = (u32)from_size, nto = (u32)to_size;
	u64 sum = (u32)seed;

	if ((nfrom | nto) & 3)
		return (u64)-EINVAL;
	sum = sum_words(to, nto, sum);
	if (nfrom)
		sum += (u32)~fold(sum_words(from, nfrom, 0));
	return fold(sum);
}

u64 helper_xdp_adjust_head(u64 ctx, u64 offset, u64 r3, u64 r4, u64 r5)
{
	struct nt_xdp_ctx *c = (void *)ctx;
	s64 by = (s32)offset, data = (s64)c->md.data + by;
	u32 meta = c->md.data - c->md.data_meta;

	if (data < (s64)c->start + NT_XDP_FRAME + meta || data > (s64)c->md.data_end - NT_LINK_HEADER)
		return (u64)-EINVAL;
	if (meta)
		mem_move((void *)(u64)(c->md.data_meta + by), (const void *)(u64)c->md.data_meta, meta);
	c->md.data_meta = (u32)(c->md.data_meta + by);
	c->md.data = (u32)data;
	return 0;
}

u64 helper_xdp_adjust_meta(u64 ctx, u64 offset, u64 r3, u64 r4, u64 r5)
{
	struct nt_xdp_ctx *c = (void *)ctx;
	s64 meta = (s64)c->md.data_meta + (s32)offset;

	if (meta < (s64)c->start + NT_XDP_FRAME || meta > c->md.data)
		return (u64)-EINVAL;
	if ((c->md.data - meta) & 3)
		return (u64)-EACCES;
	c->md.data_meta = (u32)meta;
	return 0;
}

static u32 packet_len(const struct nt_xdp_ctx *c)
{
	return c->md.data_end - c->md.data + c->nfrags;
}

/* The last piece has a page. */
static u64 grow_frags(struct nt_xdp_ctx *c, u32 by)
{
	u32 used = c->nfrags % NT_XDP_PAGE;

	if (!used || by > NT_XDP_PAGE - used)
		return (u64)-EINVAL;
	mem_zero((void *)(c->frags + c->nfrags), by);
	c->nfrags += by;
	return 0;
}

static u64 shrink_frags(struct nt_xdp_ctx *c, s64 by)
{
	u32 off;

	if (by > (s64)packet_len(c) - NT_LINK_HEADER)
		return (u64)-EINVAL;
	off = bits_min(c->nfrags, (u32)by);
	c->nfrags -= off;
	c->md.data_end -= (u32)by - off;
	return 0;
}

u64 helper_xdp_adjust_tail(u64 ctx, u64 offset, u64 r3, u64 r4, u64 r5)
{
	struct nt_xdp_ctx *c = (void *)ctx;
	s64 by = (s32)offset, end = (s64)c->md.data_end + by;

	if (c->nfrags)
		return by >= 0 ? grow_frags(c, (u32)by) : shrink_frags(c, -by);
	if (end > (s64)c->start + NT_XDP_PAGE - NT_XDP_TAILROOM || end < (s64)c->md.data + NT_LINK_HEADER)
		return (u64)-EINVAL;
	if (by > 0)
		mem_zero((void *)(u64)c->md.data_end, (u32)by);
	c->md.data_end = (u32)end;
	return 0;
}

u64 helper_xdp_get_buff_len(u64 ctx, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return packet_len((void *)ctx);
}

/* [offset, + len) as at most two pieces; NULL-sized ones are fine. */
struct pieces {
	u64 at[2];
	u32 n[2];
};

static s64 find_pieces(const struct nt_xdp_ctx *c, u64 offset, u64 len, struct pieces *ret)
{
	u32 off = (u32)offset, n = (u32)len, first = c->md.data_end - c->md.data;

	if (off > OFFSET_MAX || n > OFFSET_MAX)
		return -EFAULT;
	if (off + n > packet_len(c))
		return -EINVAL;
	ret->at[0] = c->md.data + (u64)off;
	ret->n[0] = off < first ? bits_min(n, first - off) : 0;
	ret->at[1] = c->frags + (off > first ? off - first : 0);
	ret->n[1] = n - ret->n[0];
	return 0;
}

u64 helper_xdp_load_bytes(u64 ctx, u64 offset, u64 buf, u64 len, u64 r5)
{
	struct pieces p;
	s64 r = find_pieces((void *)ctx, offset, len, &p);

	if (r)
		return (u64)r;
	mem_copy((void *)buf, (const void *)p.at[0], p.n[0]);
	mem_copy((void *)(buf + p.n[0]), (const void *)p.at[1], p.n[1]);
	return 0;
}

u64 helper_xdp_store_bytes(u64 ctx, u64 offset, u64 buf, u64 len, u64 r5)
{
	struct pieces p;
	s64 r = find_pieces((void *)ctx, offset, len, &p);

	if (r)
		return (u64)r;
	mem_copy((void *)p.at[0], (const void *)buf, p.n[0]);
	mem_copy((void *)p.at[1], (const void *)(buf + p.n[0]), p.n[1]);
	return 0;
}
