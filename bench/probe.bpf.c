/* SPDX-License-Identifier: MIT */
/* The programs whose hits are timed, from nothing to a ring buffer record. */
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring SEC(".maps");

struct record {
	__u64 pid_tgid;
	__u64 cookie;
};

SEC("uprobe.multi")
int empty(struct pt_regs *ctx)
{
	return 0;
}

SEC("uprobe.multi")
int count_array(struct pt_regs *ctx)
{
	__u32 key = 0;
	__u64 *n = bpf_map_lookup_elem(&array, &key);

	if (n)
		*n += 1;
	return 0;
}

SEC("uprobe.multi")
int count_atomic(struct pt_regs *ctx)
{
	__u32 key = 0;
	__u64 *n = bpf_map_lookup_elem(&array, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

SEC("uprobe.multi")
int count_percpu(struct pt_regs *ctx)
{
	__u32 key = 0;
	__u64 *n = bpf_map_lookup_elem(&percpu, &key);

	if (n)
		*n += 1;
	return 0;
}

SEC("uprobe.multi")
int count_hash(struct pt_regs *ctx)
{
	__u32 key = bpf_get_current_pid_tgid() >> 32;
	__u64 *n = bpf_map_lookup_elem(&hash, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

/* A record that finds no room is counted in the array. No wake-up: the consumer spins. */
SEC("uprobe.multi")
int count_ring(struct pt_regs *ctx)
{
	struct record *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	__u32 key = 0;
	__u64 *lost;

	if (r) {
		r->pid_tgid = bpf_get_current_pid_tgid();
		r->cookie = bpf_get_attach_cookie(ctx);
		bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
		return 0;
	}
	lost = bpf_map_lookup_elem(&array, &key);
	if (lost)
		__sync_fetch_and_add(lost, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
