/* SPDX-License-Identifier: MIT */
/*
 * Contexts of programs that get a network packet, made by the loader's front end for BPF_PROG_TEST_RUN and looked at by
 * the payload's helpers. A program sees struct __sk_buff and struct xdp_md themselves: the addresses in xdp_md have 32
 * bits, so packets lie below 4 GiB. What follows them is ours.
 *
 *     XDP, as in the kernel's test:   start            256 bytes      md.data    md.data_end         end        frags
 *                                     | frame (40) |  metadata  ->     |----------|                   |320 B|   |-----|
 *
 *     socket filter:                  data - 14 bytes: the link's header, data: what follows it, skb.len bytes
 */
#pragma once

#include <linux/bpf.h>

#include "abi/types.h"

#define NT_LINK_HEADER 14u   /* ETH_HLEN */
#define NT_XDP_HEADROOM 256u /* XDP_PACKET_HEADROOM */
#define NT_XDP_FRAME 40u     /* sizeof(struct xdp_frame): stays in front */
#define NT_XDP_TAILROOM 320u /* sizeof(struct skb_shared_info), aligned */
#define NT_XDP_PAGE 4096u
#define NT_XDP_FRAGS 17u /* pages at most behind the first one */

struct nt_skb_ctx {
	struct __sk_buff skb;
	u64 data;
};

struct nt_xdp_ctx {
	struct xdp_md md;
	u64 start; /* of the first page */
	u64 frags; /* what does not fit into it, one piece behind the other */
	u32 nfrags; /* bytes of it */
	u32 pad;
};
_Static_assert(sizeof(struct xdp_md) == 24 && sizeof(struct __sk_buff) == 192, "as programs see them");
