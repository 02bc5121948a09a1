/* SPDX-License-Identifier: MIT */
/* Task storage, user ring buffer, and helpers that take the current task: what the victim's call asks for. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "storage.h"

char LICENSE[] SEC("license") = "GPL";

__s64 result, sum, sizes;
__u64 stop_at;

struct big {
	__u64 n, text[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} small SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct big);
} large SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} orders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} percpu SEC(".maps");

static long count(__u64 add, __u64 flags)
{
	struct big init = {.n = 1000, .text = {1, 2, 3, 4, 5, 6, 7, 8}}, *b;
	__u64 *v = bpf_task_storage_get(&small, bpf_get_current_task_btf(), 0, flags);

	if (!v)
		return -1;
	*v += add;
	b = bpf_task_storage_get(&large, bpf_get_current_task_btf(), &init, flags);
	if (!b || b->text[7] != 8)
		return -2;
	b->n++;
	return *v * 10000 + b->n;
}

static long forget(void)
{
	long r = bpf_task_storage_delete(&small, bpf_get_current_task_btf());

	return r ? r : bpf_task_storage_delete(&large, bpf_get_current_task_btf());
}

static long on_sample(struct bpf_dynptr *d, void *data)
{
	__u64 v = 0;

	if (bpf_dynptr_read(&v, sizeof(v), d, 0, 0))
		return 1;
	sum = sum * 10 + v;
	return v == stop_at;
}

static long regs(struct pt_regs *ctx)
{
	struct pt_regs *r = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	return PT_REGS_PARM1(r) == PT_REGS_PARM1(ctx) && PT_REGS_PARM3(r) == PT_REGS_PARM3(ctx) &&
	       PT_REGS_SP(r) == PT_REGS_SP(ctx) && PT_REGS_IP(r) == PT_REGS_IP(ctx);
}

static long stack(struct pt_regs *ctx)
{
	__u64 a[4] = {}, b[4] = {};
	long n = bpf_get_task_stack(bpf_get_current_task_btf(), a, sizeof(a), BPF_F_USER_STACK);

	if (n != bpf_get_stack(ctx, b, sizeof(b), BPF_F_USER_STACK))
		return -1;
	return n > 0 && a[0] == b[0] && a[1] == b[1] && a[0] == PT_REGS_IP(ctx);
}

static long on_cpu(__u32 key, __u32 cpu)
{
	__u64 *v = bpf_map_lookup_percpu_elem(&percpu, &key, cpu);

	return v ? *v : -1;
}

SEC("uprobe.multi")
int on_hit(struct pt_regs *ctx)
{
	__u64 op = PT_REGS_PARM1(ctx), a = PT_REGS_PARM2(ctx), b = PT_REGS_PARM3(ctx);

	switch (op) {
	case OP_COUNT: result = count(a, b); break;
	case OP_FORGET: result = forget(); break;
	case OP_DRAIN: result = bpf_user_ringbuf_drain(&orders, on_sample, 0, b); break;
	case OP_REGS: result = regs(ctx); break;
	case OP_TASK_STACK: result = stack(ctx); break;
	case OP_ON_CPU: result = on_cpu(a, b); break;
	}
	return 0;
}
