// SPDX-License-Identifier: MIT
/* Programs that count and record calls; the cookie says whose. */
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "uprobe.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} entries SEC(".maps"), returns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct hash_key);
	__type(value, __u64);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u64);
} percpu_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

__u64 calls_of_one; /* global data: .bss */
const volatile __u64 only_cookie = ~0ull;

static void add(void *map, __u32 slot)
{
	__u64 *v = bpf_map_lookup_elem(map, &slot);

	if (v)
		__sync_fetch_and_add(v, 1);
}

SEC("uprobe.multi")
int count_entry(struct pt_regs *ctx)
{
	add(&entries, bpf_get_attach_cookie(ctx));
	return 0;
}

SEC("uretprobe.multi")
int count_return(struct pt_regs *ctx)
{
	add(&returns, bpf_get_attach_cookie(ctx));
	return 0;
}

SEC("uprobe.multi")
int count_percpu(struct pt_regs *ctx)
{
	__u32 slot = bpf_get_attach_cookie(ctx);
	__u64 *v = bpf_map_lookup_elem(&percpu, &slot);

	if (v)
		*v += 1;
	return 0;
}

SEC("uprobe.multi")
int count_hash(struct pt_regs *ctx)
{
	struct hash_key key = { .cookie = bpf_get_attach_cookie(ctx), .tid = bpf_get_current_pid_tgid() };
	__u64 one = 1, *v = bpf_map_lookup_elem(&hash, &key);

	if (!v) {
		if (!bpf_map_update_elem(&hash, &key, &one, BPF_NOEXIST))
			return 0;
		v = bpf_map_lookup_elem(&hash, &key);
	}
	if (v)
		__sync_fetch_and_add(v, 1);
	return 0;
}

SEC("uprobe.multi")
int count_percpu_hash(struct pt_regs *ctx)
{
	__u64 key = bpf_get_attach_cookie(ctx), zero = 0, *v;

	v = bpf_map_lookup_elem(&percpu_hash, &key);
	if (!v) {
		bpf_map_update_elem(&percpu_hash, &key, &zero, BPF_NOEXIST);
		v = bpf_map_lookup_elem(&percpu_hash, &key);
	}
	if (v)
		*v += 1;
	return 0;
}

static __always_inline int record(struct pt_regs *ctx, int at_return)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return 0;
	e->cookie = bpf_get_attach_cookie(ctx);
	e->func_ip = bpf_get_func_ip(ctx);
	e->ip = PT_REGS_IP(ctx);
	e->sp = PT_REGS_SP(ctx);
	e->arg = PT_REGS_PARM1(ctx);
	e->ret = PT_REGS_RC(ctx);
	e->at_return = at_return;
	e->pid_tgid = bpf_get_current_pid_tgid();
	e->ts = bpf_ktime_get_ns();
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	if (at_return)
		e->stack = 0;
	else
		bpf_probe_read_user(&e->stack, sizeof(e->stack), (void *)PT_REGS_SP(ctx));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("uprobe.multi")
int record_entry(struct pt_regs *ctx)
{
	return record(ctx, 0);
}

SEC("uretprobe.multi")
int record_return(struct pt_regs *ctx)
{
	return record(ctx, 1);
}

SEC("uprobe")
int single_entry(struct pt_regs *ctx)
{
	if (only_cookie == ~0ull || only_cookie == bpf_get_attach_cookie(ctx))
		__sync_fetch_and_add(&calls_of_one, 1);
	return 0;
}

SEC("uretprobe")
int single_return(struct pt_regs *ctx)
{
	add(&returns, bpf_get_attach_cookie(ctx));
	return 0;
}
