/* SPDX-License-Identifier: MIT */
/*
 * Times calls, from entry to return. A call under way is known by its thread, function and stack
 * pointer, so that the levels of a recursion are timed each by itself. A call that is left by
 * longjmp stays in `started` until the same place is used again.
 */
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "funclatency.h"

#ifdef __TARGET_ARCH_x86
#define RETURN_POPS 8 /* bytes that a return takes off the stack */
#else
#define RETURN_POPS 0
#endif

struct call {
	__u32 tid;
	__u32 function;
	__u64 sp;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct call);
	__type(value, __u64);
} started SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set before loading */
	__type(key, __u32);
	__type(value, struct histogram);
} histograms SEC(".maps");

const volatile __u64 unit_ns = 1;
__u64 missed = 0; /* calls that did not fit into `started` */

static __always_inline __u32 log2_of(__u64 v)
{
	__u32 r = 0;

	if (v >> 32) {
		v >>= 32;
		r = 32;
	}
	if (v >> 16) {
		v >>= 16;
		r += 16;
	}
	if (v >> 8) {
		v >>= 8;
		r += 8;
	}
	if (v >> 4) {
		v >>= 4;
		r += 4;
	}
	if (v >> 2) {
		v >>= 2;
		r += 2;
	}
	return r + (v >> 1);
}

static __always_inline struct call call_of(struct pt_regs *ctx, __u64 sp)
{
	struct call c = {
	    .tid = bpf_get_current_pid_tgid(), .function = bpf_get_attach_cookie(ctx), .sp = sp};

	return c;
}

SEC("uprobe.multi")
int at_entry(struct pt_regs *ctx)
{
	struct call c = call_of(ctx, PT_REGS_SP(ctx));
	__u64 now = bpf_ktime_get_ns();

	if (bpf_map_update_elem(&started, &c, &now, BPF_ANY))
		__sync_fetch_and_add(&missed, 1);
	return 0;
}

SEC("uretprobe.multi")
int at_return(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns(), *start, took;
	struct call c = call_of(ctx, PT_REGS_SP(ctx) - RETURN_POPS);
	struct histogram *h;
	__u32 slot;

	start = bpf_map_lookup_elem(&started, &c);
	if (!start)
		return 0;
	took = (now - *start) / unit_ns;
	bpf_map_delete_elem(&started, &c);
	h = bpf_map_lookup_elem(&histograms, &c.function);
	if (!h)
		return 0;
	slot = log2_of(took);
	if (slot >= MAX_SLOTS)
		slot = MAX_SLOTS - 1;
	__sync_fetch_and_add(&h->slot[slot], 1);
	__sync_fetch_and_add(&h->total, took);
	__sync_fetch_and_add(&h->calls, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
