// SPDX-License-Identifier: MIT
/* For light.sh: a map, a global, and a program that BPF_PROG_TEST_RUN can run. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} values SEC(".maps");

__u64 hits;

SEC("raw_tp/sys_enter")
int count(void *ctx)
{
	__u64 value = 5;
	__u32 key = 1;

	bpf_map_update_elem(&values, &key, &value, BPF_ANY);
	__sync_fetch_and_add(&hits, 1);
	return 7;
}
