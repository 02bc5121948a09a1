/* SPDX-License-Identifier: MIT */
/* Counts calls: the cookie of a function is its place in the array of counters. */
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags,
	       BPF_F_MMAPABLE); /* user space reads 50,000 counters without a system call each */
	__uint(max_entries, 1); /* set before loading */
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("uprobe.multi")
int count_call(struct pt_regs *ctx)
{
	__u32 function = bpf_get_attach_cookie(ctx);
	__u64 *n = bpf_map_lookup_elem(&calls, &function);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
