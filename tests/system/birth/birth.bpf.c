// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

static int add(__u32 slot)
{
	__u64 *v = bpf_map_lookup_elem(&calls, &slot);

	if (v)
		__sync_fetch_and_add(v, 1);
	return 0;
}

/* Who called main_fn, one after the other. */
#define MAIN_FN 1
#define IDS_MAX 32
__u64 ids[IDS_MAX];
__u32 nids;

SEC("uprobe.multi")
int entered(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);

	if (cookie == MAIN_FN)
		ids[__sync_fetch_and_add(&nids, 1) % IDS_MAX] = bpf_get_current_pid_tgid();
	return add(cookie);
}

SEC("uretprobe.multi")
int returned(struct pt_regs *ctx)
{
	return add(16 + bpf_get_attach_cookie(ctx));
}
