/* SPDX-License-Identifier: MIT */
/* Variable-size output: the buffer of a write(), cut to what fits, with the size from the user. */
#include "common.h"

struct chunk {
	u64 cookie;
	u32 size;
	u8 data[448];
};

MAP ring = {BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 16, 0};
MAP scratch = {BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct chunk), 1, 0};

PROG int probe(struct pt_regs *ctx)
{
	u32 zero = 0, size = (u32)ctx->rdx;
	struct chunk *c = bpf_map_lookup_elem(&scratch, &zero);

	if (!c)
		return 0;
	if (size > sizeof(c->data))
		size = sizeof(c->data);
	c->cookie = bpf_get_attach_cookie(ctx);
	c->size = size;
	if (bpf_probe_read_user(c->data, size, (void *)ctx->rsi))
		return 0;
	bpf_ringbuf_output(&ring, c, __builtin_offsetof(struct chunk, data) + (size & 511 ? size : 0), 0);
	return 0;
}
