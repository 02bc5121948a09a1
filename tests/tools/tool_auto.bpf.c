/* SPDX-License-Identifier: MIT */
/* What bpftool attaches by the names of the sections; the path is replaced by one of the same length. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} auto_counts SEC(".maps");

static __always_inline int count(__u32 key)
{
	__u64 *n = bpf_map_lookup_elem(&auto_counts, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

SEC("uprobe//tmp/notrap-tools-XXXXXXXX/victim:work")
int auto_entry(void *ctx)
{
	return count(0);
}

SEC("uretprobe//tmp/notrap-tools-XXXXXXXX/victim:work")
int auto_return(void *ctx)
{
	return count(1);
}

char auto_license[] SEC("license") = "GPL";
