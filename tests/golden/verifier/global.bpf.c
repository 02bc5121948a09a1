/* SPDX-License-Identifier: MIT */
/* Global variables: counters in .bss, a table in .data, switches and text in .rodata. */
#include "common.h"

const volatile u32 with_time = 0, limit = 8;
const volatile char prefix[8] = "GET";
u64 hits, bytes, by_size[16];
u32 table[4] = {1, 10, 100, 1000};

PROG int probe(struct pt_regs *ctx)
{
	u64 n = ctx->rdx, i;
	char head[8] = {};

	__sync_fetch_and_add(&hits, 1);
	if (with_time) /* never: even a helper that does not exist may stand here */
		bytes += ((u64(*)(void))9999)();
	bytes += n;
	for (i = 0; i < limit; i++)
		if (n >> i & 1)
			by_size[i & 15] += table[i & 3];
	bpf_probe_read_user(head, sizeof(head) - 1, (void *)ctx->rsi);
	if (!bpf_strncmp(head, 3, (const char *)prefix))
		by_size[15]++;
	bpf_printk("hit %d", (int)hits);
	return 0;
}
