// SPDX-License-Identifier: MIT
/*
 * Counters in global data: the loader has them mapped, so it sees them move (or stand still) without asking anybody,
 * also when there is nobody left to ask.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>

#include "robust.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

__u64 in[ROBUST_SLOTS], out[ROBUST_SLOTS];

SEC("uprobe.multi")
int count_in(struct pt_regs *ctx)
{
	__u64 slot = bpf_get_attach_cookie(ctx);

	if (slot < ROBUST_SLOTS)
		__sync_fetch_and_add(&in[slot], 1);
	return 0;
}

SEC("uprobe.multi")
int count_out(struct pt_regs *ctx)
{
	__u64 slot = bpf_get_attach_cookie(ctx);

	if (slot < ROBUST_SLOTS)
		__sync_fetch_and_add(&out[slot], 1);
	return 0;
}
