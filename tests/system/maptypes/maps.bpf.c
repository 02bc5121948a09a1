/* SPDX-License-Identifier: MIT */
/* One program that does with maps what the victim's call asks for; what the helper returned is in result. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "maps.h"

char LICENSE[] SEC("license") = "GPL";

__s64 result;
__u64 hits;

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

static long perf(void *ctx, __u64 a, __u64 b, __u64 flags)
{
	struct event e = {};
	__u64 size = b & 127;

	e.n = hits;
	e.a = a;
	for (int i = 0; i < 64; i++)
		e.text[i] = (char)(a + i);
	return bpf_perf_event_output(ctx, &events, flags, &e, 16 + size);
}

SEC("uprobe.multi")
int on_hit(struct pt_regs *ctx)
{
	__u64 op = PT_REGS_PARM1(ctx), a = PT_REGS_PARM2(ctx), b = PT_REGS_PARM3(ctx);

	hits++;
	switch (op) {
	case OP_PERF: result = perf(ctx, a, b, BPF_F_CURRENT_CPU); break;
	case OP_PERF_FLAGS: result = perf(ctx, a, 8, b); break;
	}
	return 0;
}
