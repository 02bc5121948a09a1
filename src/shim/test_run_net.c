/* SPDX-License-Identifier: MIT */
/*
 * BPF_PROG_TEST_RUN of programs that get a network packet (abi/packet.h has the picture). Follows
 * bpf_prog_test_run_skb() and bpf_prog_test_run_xdp(); sizes are those of the kernel on a machine with 4 KiB pages.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/socket.h>

#include "abi/packet.h"
#include "base/bits.h"
#include "base/mem.h"
#include "base/syscall.h"
#include "shim/test_run.h"

#define SKB_MAX 3712u /* a page without what the kernel keeps in front and behind */
#define PKT_LEN_MAX 65536u
#define GSO_SEGS_MAX 65535u
#define LOOPBACK 1u
#define TYPE_802_2 0x0400u /* ETH_P_802_2 as it stands in a packet */
#define XDP_MORE (NT_XDP_PAGE + NT_XDP_FRAGS * NT_XDP_PAGE)
#define META_MAX (NT_XDP_HEADROOM - NT_XDP_FRAME)
#define FLAG_SKB_CHECKSUM (1u << 2) /* BPF_F_TEST_SKB_CHECKSUM_COMPLETE */
#define FLAG_XDP_LIVE (1u << 1)	    /* BPF_F_TEST_XDP_LIVE_FRAMES */

/* bpf_ctx_init(): what is longer than ours must be zero. */
static s64 read_ctx(struct test_run *t, void *ctx, u32 size)
{
	u32 n = t->attr.test.ctx_size_in;
	u8 tail[64];

	for (u32 at = size; t->attr.test.ctx_in && at < n; at += sizeof(tail)) {
		u32 k = bits_min(n - at, (u32)sizeof(tail));

		if (n > NT_XDP_PAGE)
			return -E2BIG;
		if (test_run_read(t->attr.test.ctx_in + at, tail, k))
			return -EFAULT;
		for (u32 i = 0; i < k; i++)
			if (tail[i])
				return -E2BIG;
	}
	return t->attr.test.ctx_in ? test_run_read(t->attr.test.ctx_in, ctx, bits_min(n, size)) : 0;
}

/* What the program left of the packet: one piece, or the first and those behind it. */
struct packet {
	const u8 *at;
	u32 n;
	const u8 *more;
	u32 nmore;
};

/* bpf_test_finish() and bpf_ctx_finish() */
static s64 finish(struct test_run *t, const struct packet *p, const void *ctx, u32 ctx_size)
{
	u32 size = p->n + p->nmore, n = size, room = t->attr.test.data_size_out, ctx_room = t->attr.test.ctx_size_out;
	u64 out = t->attr.test.data_out;
	s64 r = 0, w;

	if (room && n > room) {
		n = room;
		r = -ENOSPC;
	}
	if (out && n < p->nmore)
		return -ENOSPC;
	/* cut short, it is the first piece that is cut, as the kernel does it */
	if (out && (test_run_write(out, p->at, n - p->nmore) || test_run_write(out + n - p->nmore, p->more, p->nmore)))
		return -EFAULT;
	if (test_run_write_attr(t, offsetof(union bpf_attr, test.data_size_out), &size, sizeof(size)) ||
	    test_run_write_attr(t, offsetof(union bpf_attr, test.retval), &t->retval, sizeof(t->retval)) ||
	    test_run_write_attr(t, offsetof(union bpf_attr, test.duration), &t->duration, sizeof(t->duration)))
		return -EFAULT;
	if (r || !t->attr.test.ctx_out)
		return r;
	w = test_run_write(t->attr.test.ctx_out, ctx, bits_min(ctx_size, ctx_room));
	if (!w)
		w = test_run_write_attr(t, offsetof(union bpf_attr, test.ctx_size_out), &ctx_size, sizeof(ctx_size));
	return w ? w : ctx_size > ctx_room ? -ENOSPC : 0;
}

static bool device_exists(u32 ifindex)
{
	struct ifreq q = {.ifr_ifindex = (int)ifindex};
	s64 fd, r;

	if (ifindex <= LOOPBACK)
		return true;
	fd = sys_call3(__NR_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	r = sys_call3(__NR_ioctl, (u64)fd, SIOCGIFNAME, (u64)&q);
	sys_call3(__NR_close, (u64)fd, 0, 0);
	return !r;
}

static bool is_zero(const void *at, u64 n)
{
	const u8 *p = at;

	while (n--)
		if (*p++)
			return false;
	return true;
}

#define SKB_END(field) (offsetof(struct __sk_buff, field) + sizeof(((struct __sk_buff *)0)->field))
#define HWTSTAMP_END 192u

/* What a caller may say; the rest must be zero. */
static bool skb_is_plain(const struct __sk_buff *s)
{
	static const struct { u32 from, to; } zero[] = {
	    {0, offsetof(struct __sk_buff, mark)},
	    {SKB_END(mark), offsetof(struct __sk_buff, priority)},
	    {SKB_END(ifindex), offsetof(struct __sk_buff, cb)},
	    {SKB_END(cb), offsetof(struct __sk_buff, tstamp)},
	    {SKB_END(gso_segs), offsetof(struct __sk_buff, gso_size)},
	    {SKB_END(gso_size), HWTSTAMP_END - sizeof(u64)},
	};

	for (u32 i = 0; i < bits_count(zero); i++)
		if (!is_zero((const u8 *)s + zero[i].from, zero[i].to - zero[i].from))
			return false;
	return true;
}

/* eth_type_trans() on the loopback device, whose address is zero. */
static void skb_classify(struct __sk_buff *s, const u8 *header)
{
	u16 type;

	s->pkt_type = is_zero(header, 6) ? 0 : header[0] & 1 ? 2 : 3;
	mem_copy(&type, header + 12, sizeof(type));
	if (__builtin_bswap16(type) < 0x600) {
		mem_copy(&type, header + NT_LINK_HEADER, sizeof(type));
		s->protocol = type == UINT16_MAX ? 0x0100 : TYPE_802_2; /* ETH_P_802_3: a raw IPX packet */
		return;
	}
	s->protocol = type;
}

static s64 skb_fill(struct nt_skb_ctx *c, const u8 *packet, u32 n)
{
	struct __sk_buff *s = &c->skb;

	if (!device_exists(s->ifindex))
		return -ENODEV;
	if (!skb_is_plain(s))
		return -EINVAL;
	s->len = n - NT_LINK_HEADER;
	if (s->wire_len && (s->wire_len < s->len || s->wire_len > PKT_LEN_MAX))
		return -EINVAL;
	if (s->gso_segs > GSO_SEGS_MAX)
		return -EINVAL;
	if (!s->wire_len)
		s->wire_len = s->len;
	if (!s->ifindex)
		s->ifindex = LOOPBACK;
	skb_classify(s, packet);
	c->data = (u64)packet + NT_LINK_HEADER;
	return 0;
}

/* The fields that are the program's alone are not handed out. */
static void skb_hand_out(struct __sk_buff *s)
{
	s->len = s->pkt_type = s->protocol = 0;
}

s64 test_run_skb(struct test_run *t)
{
	u32 n = t->attr.test.data_size_in;
	struct nt_skb_ctx *c;
	u8 *packet;
	s64 r;

	if (t->attr.test.flags & ~FLAG_SKB_CHECKSUM || t->attr.test.cpu || t->attr.test.batch_size)
		return -EINVAL;
	if (n < NT_LINK_HEADER || n > SKB_MAX)
		return -EINVAL;
	r = test_run_make(t, sizeof(*c), NT_XDP_PAGE);
	if (r)
		return r;
	c = (void *)test_run_ctx(t);
	packet = t->memory + t->memory_size - NT_XDP_PAGE;
	r = test_run_read(t->attr.test.data_in, packet, n);
	if (!r)
		r = read_ctx(t, &c->skb, sizeof(c->skb));
	if (!r)
		r = skb_fill(c, packet, n);
	if (r)
		return r;
	test_run_call(t);
	mem_zero(packet, NT_LINK_HEADER); /* it was taken off, and put on again */
	skb_hand_out(&c->skb);
	return finish(t, &(struct packet){packet, n, NULL, 0}, &c->skb, sizeof(c->skb));
}

struct xdp {
	struct nt_xdp_ctx *c;
	struct xdp_md told; /* by the caller, and handed out */
	u32 meta, linear;
	bool has_ctx;
};

static s64 xdp_check_flags(const struct test_run *t)
{
	if (t->attr.test.flags & ~FLAG_XDP_LIVE)
		return -EINVAL;
	if (t->attr.test.flags & FLAG_XDP_LIVE)
		return -EOPNOTSUPP; /* the packets would have to go through the kernel */
	return t->attr.test.batch_size ? -EINVAL : 0;
}

static s64 xdp_read_ctx(struct test_run *t, struct xdp *x)
{
	u32 n = t->attr.test.data_size_in;
	s64 r = read_ctx(t, &x->told, sizeof(x->told));

	if (r)
		return r;
	x->linear = n;
	x->has_ctx = t->attr.test.ctx_in || t->attr.test.ctx_out;
	if (x->has_ctx) {
		if (x->told.data_meta || x->told.data_end > n || x->told.data > x->told.data_end)
			return -EINVAL;
		x->meta = x->told.data;
		if (x->meta & 3 || x->meta > META_MAX)
			return -EINVAL;
		x->linear = x->told.data_end;
	}
	x->linear = bits_min(x->linear, NT_XDP_PAGE - (NT_XDP_HEADROOM - x->meta) - NT_XDP_TAILROOM);
	return n < NT_LINK_HEADER + x->meta ? -EINVAL : 0;
}

static s64 xdp_read_packet(struct test_run *t, struct xdp *x)
{
	u32 n = t->attr.test.data_size_in;
	struct nt_xdp_ctx *c;
	u64 at;
	s64 r = test_run_make(t, sizeof(*c), XDP_MORE);

	if (r)
		return r;
	c = x->c = (void *)test_run_ctx(t);
	c->start = (u64)t->memory + t->memory_size - XDP_MORE;
	c->frags = c->start + NT_XDP_PAGE;
	at = c->start + NT_XDP_HEADROOM - x->meta;
	c->md.data_meta = (u32)at;
	c->md.data = (u32)at + x->meta;
	c->md.data_end = (u32)at + x->linear;
	r = test_run_read(t->attr.test.data_in, (void *)at, x->linear);
	if (r)
		return r;
	c->nfrags = n - x->linear;
	if (c->nfrags > NT_XDP_FRAGS * NT_XDP_PAGE)
		return -ENOMEM;
	return test_run_read(t->attr.test.data_in + x->linear, (void *)c->frags, c->nfrags);
}

static s64 xdp_check_device(const struct xdp *x)
{
	if (x->told.egress_ifindex || x->told.rx_queue_index)
		return -EINVAL;
	return device_exists(x->told.ingress_ifindex) ? 0 : -ENODEV;
}

s64 test_run_xdp(struct test_run *t)
{
	struct xdp x = {0};
	struct nt_xdp_ctx *c;
	s64 r = xdp_check_flags(t);

	if (!r)
		r = xdp_read_ctx(t, &x);
	if (!r)
		r = xdp_read_packet(t, &x);
	if (!r)
		r = xdp_check_device(&x);
	if (r)
		return r;
	c = x.c;
	c->md.ingress_ifindex = x.told.ingress_ifindex ? x.told.ingress_ifindex : LOOPBACK;
	test_run_call(t);
	x.told.data = c->md.data - c->md.data_meta;
	x.told.data_end = c->md.data_end - c->md.data_meta;
	return finish(t,
		      &(struct packet){(const u8 *)(u64)c->md.data_meta, c->md.data_end - c->md.data_meta,
				       (const u8 *)c->frags, c->nfrags},
		      &x.told, sizeof(x.told));
}
