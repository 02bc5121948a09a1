/* SPDX-License-Identifier: MIT */
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile __u64 step = 1; /* .rodata: set by the loader before loading */
const volatile struct {
	__u32 a;
	__u64 b;
} settings = {7, 8};
__u64 data_value = 5; /* .data */
__u64 calls;	      /* .bss */

struct event {
	__u64 cookie, argument;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} by_cookie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} per_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} events SEC(".maps");

SEC("uprobe.multi")
int on_call(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx), one = 1, *n;
	__u32 zero = 0;
	struct event *e;

	__sync_fetch_and_add(&calls, 1);
	data_value += step;
	n = bpf_map_lookup_elem(&by_cookie, &cookie);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&by_cookie, &cookie, &one, BPF_NOEXIST);
	n = bpf_map_lookup_elem(&per_cpu, &zero);
	if (n)
		*n += 1;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->cookie = cookie;
	e->argument = PT_REGS_PARM1(ctx);
	bpf_ringbuf_submit(e, 0);
	return 0;
}
