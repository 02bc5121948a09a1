/* SPDX-License-Identifier: MIT */
/* Programs made of helper calls, with all that compilers make of them: callbacks, iterators, frozen text. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <linux/version.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "calls.h"

char LICENSE[] SEC("license") = "GPL";

struct call_result result;
unsigned long long pidns_dev, pidns_ino;
unsigned int sig;

struct bpf_iter_num;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0) /* of the headers: newer ones have it */
struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));
#endif

SEC("uprobe.multi")
int text(struct pt_regs *ctx)
{
	char number[16] = " -0x1fz";
	long v = 0;
	char word[8] = "words";
	__u64 args[3] = { 42, (__u64)(unsigned long)word, 7 };

	result.value[0] = bpf_strtol(number, 7, 0, &v);
	result.value[1] = v;
	result.value[2] = bpf_snprintf(result.text, sizeof(result.text), "%d %s %03u %%", args, sizeof(args));
	result.value[3] = bpf_strncmp(word, sizeof(word), "wordt");
	result.runs++;
	return 0;
}

struct sum {
	long value, limit;
};

static long add(__u64 i, struct sum *s)
{
	s->value += i;
	return s->value >= s->limit;
}

SEC("uprobe.multi")
int loop(struct pt_regs *ctx)
{
	struct sum s = { 0, 1000000 };

	result.value[0] = bpf_loop(100, add, &s, 0);
	result.value[1] = s.value;
	s.limit = 5000;
	result.value[2] = bpf_loop(1 << 20, add, &s, 0);
	result.value[3] = s.value;
	result.value[4] = bpf_loop((1 << 23) + 1, add, &s, 0);
	result.value[5] = bpf_loop(1, add, &s, 1);
	result.runs++;
	return 0;
}

SEC("uprobe.multi")
int range(struct pt_regs *ctx)
{
	struct bpf_iter_num it;
	int *i;

	bpf_iter_num_new(&it, -3, 5);
	while ((i = bpf_iter_num_next(&it))) {
		result.value[0]++;
		result.value[1] += *i;
	}
	bpf_iter_num_destroy(&it);
	result.value[2] = bpf_iter_num_new(&it, 5, -3);
	result.value[3] = !bpf_iter_num_next(&it);
	bpf_iter_num_destroy(&it);
	result.runs++;
	return 0;
}

SEC("uprobe.multi")
int signals(struct pt_regs *ctx)
{
	result.value[0] = bpf_send_signal_thread(sig);
	result.value[1] = bpf_send_signal(1000);
	result.runs++; /* the handler sees this */
	return 0;
}

SEC("uprobe.multi")
int stack(struct pt_regs *ctx)
{
	result.stack_len = bpf_get_stack(ctx, result.stack, sizeof(result.stack), BPF_F_USER_STACK);
	result.stack_skipped = bpf_get_stack(ctx, result.value, sizeof(result.value), BPF_F_USER_STACK | 1);
	result.runs++;
	return 0;
}

SEC("uprobe.multi")
int places(struct pt_regs *ctx)
{
	struct bpf_pidns_info ns = {};
	__u64 a = bpf_ktime_get_boot_ns(), t = bpf_ktime_get_tai_ns();

	result.value[0] = bpf_get_ns_current_pid_tgid(pidns_dev, pidns_ino, &ns, sizeof(ns));
	result.value[1] = ns.pid;
	result.value[2] = ns.tgid;
	result.value[3] = bpf_get_numa_node_id();
	result.value[4] = bpf_get_current_cgroup_id();
	result.value[5] = bpf_get_current_ancestor_cgroup_id(0);
	result.value[6] = a > 1000000000 && bpf_ktime_get_boot_ns() >= a;
	result.value[7] = t / 1000000000;
	result.runs++;
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, int);
	__type(value, long);
	__uint(max_entries, 64);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, int);
	__type(value, long);
	__uint(max_entries, 10);
} array SEC(".maps");

struct each_seen seen; /* in a map: nobody follows its values when the program is verified */

static long see(void *map, int *key, long *value, void *unused)
{
	struct each_seen *s = &seen;

	s->keys += *key;
	s->values += *value;
	return ++s->n == s->stop_at;
}

static long take_out(void *map, int *key, long *value, void *unused)
{
	int k = *key;

	if (k % 2)
		bpf_map_delete_elem(&hash, &k);
	return 0;
}

SEC("uprobe.multi")
int each(struct pt_regs *ctx)
{
	result.value[0] = bpf_for_each_map_elem(&hash, see, 0, 0);
	result.value[1] = seen.keys * 1000000 + seen.values;
	result.value[2] = bpf_for_each_map_elem(&hash, take_out, 0, 0);
	result.value[3] = bpf_for_each_map_elem(&hash, see, 0, 0);
	seen.keys = seen.values = seen.n = 0;
	result.value[4] = bpf_for_each_map_elem(&array, see, 0, 0);
	result.value[5] = seen.keys * 1000000 + seen.values;
	seen.n = 0;
	seen.stop_at = 3;
	result.value[6] = bpf_for_each_map_elem(&array, see, 0, 0);
	result.value[7] = bpf_for_each_map_elem(&array, see, 0, 1);
	result.runs++;
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 4);
} progs SEC(".maps");

SEC("uprobe.multi")
int tail_self(struct pt_regs *ctx)
{
	result.value[0]++;
	bpf_tail_call(ctx, &progs, 0);
	result.value[1]++;
	return 0;
}

SEC("uprobe.multi")
int tail_last(struct pt_regs *ctx)
{
	result.value[3] = bpf_get_attach_cookie(ctx);
	result.value[4] = PT_REGS_PARM1(ctx);
	return 0;
}

SEC("uprobe.multi")
int tail(struct pt_regs *ctx)
{
	result.runs++;
	bpf_tail_call(ctx, &progs, 7);
	bpf_tail_call(ctx, &progs, 3);
	bpf_tail_call(ctx, &progs, 1);
	result.value[2]++;
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, 4);
	__uint(value_size, CALLS_STACK * 8);
	__uint(max_entries, 64);
} stacks SEC(".maps");

SEC("uprobe.multi")
int stackid(struct pt_regs *ctx)
{
	result.value[0] = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	result.value[1] = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK) == result.value[0];
	result.value[2] = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK | 255);
	result.value[3] = bpf_get_stackid(ctx, &stacks, 1 << 15);
	result.runs++;
	return 0;
}
