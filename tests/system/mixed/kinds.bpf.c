/* SPDX-License-Identifier: MIT */
/* One program of each kind that only the kernel can run, and what they share with programs of ours. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 target;

__u64 hits[16];

enum { TP_BTF, FENTRY, ITER, XDP, CGROUP, CLOCK, RUN, USER_RUN, SINGLE, SESSION_IN, SESSION_OUT, BROKEN };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} shared SEC(".maps");

struct { /* a type that notrap does not have */
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

static void hit(__u32 kind)
{
	if (kind < 16)
		__sync_fetch_and_add(&hits[kind], 1);
}

static int is_target(void)
{
	return bpf_get_current_pid_tgid() >> 32 == target;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(k_tp_btf, struct pt_regs *regs, long nr)
{
	if (is_target() && nr == 140)
		hit(TP_BTF);
	return 0;
}

SEC("fentry/__x64_sys_getpriority")
int BPF_PROG(k_fentry)
{
	if (is_target())
		hit(FENTRY);
	return 0;
}

SEC("iter/task")
int k_iter(void *ctx)
{
	hit(ITER);
	return 0;
}

SEC("xdp")
int k_xdp(struct xdp_md *ctx)
{
	__u32 key = 0;

	if (bpf_map_lookup_elem(&devices, &key))
		return XDP_DROP;
	hit(XDP);
	return XDP_PASS;
}

SEC("cgroup_skb/egress")
int k_cgroup(struct __sk_buff *skb)
{
	hit(CGROUP);
	return 1;
}

SEC("perf_event")
int k_clock(void *ctx)
{
	hit(CLOCK);
	return 0;
}

static void add(__u32 key)
{
	__u64 one = 1, *at = bpf_map_lookup_elem(&shared, &key);

	if (at)
		__sync_fetch_and_add(at, 1);
	else
		bpf_map_update_elem(&shared, &key, &one, BPF_ANY);
}

SEC("tracepoint/syscalls/sys_enter_getpriority")
int k_shares(void *ctx)
{
	if (is_target())
		add(0);
	return 0;
}

/* bpftrace's BEGIN is one of these: run by the loader, once. */
SEC("raw_tp")
int u_run(void *ctx)
{
	char comm[16];

	add(RUN);
	if (!bpf_get_current_comm(comm, sizeof(comm)) && comm[0] == 'm' && comm[1] == 'i' && comm[2] == 'x')
		hit(USER_RUN);
	return 7;
}

SEC("uprobe")
int u_single(void *ctx)
{
	add(SINGLE);
	return 0;
}

SEC("uprobe.session")
int u_session(struct pt_regs *ctx)
{
	add(SESSION_IN);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpriority")
int k_broken(void *ctx)
{
	__u32 key = 0;

	return (int)*(__u64 *)bpf_map_lookup_elem(&shared, &key);
}
