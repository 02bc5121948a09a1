/* SPDX-License-Identifier: MIT */
/* What bpftool is given to load. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} tool_counts SEC(".maps");

SEC("uprobe")
int count_calls(void *ctx)
{
	__u32 key = 1;
	__u64 *n = bpf_map_lookup_elem(&tool_counts, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

char tool_license[] SEC("license") = "GPL";
