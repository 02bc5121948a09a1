/* SPDX-License-Identifier: MIT */
/*
 * Pairs of a uprobe program (u_*) and a program that only the kernel can run (k_*), which share one kind of map. The victim
 * calls mixed_f(i) and then getpriority(PRIO_PROCESS, i).
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "mixed.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 target;

__u64 bss_user, bss_kernel, bss_both;

#define MAP(name, kind, n)                                                                                                \
	struct {                                                                                                          \
		__uint(type, kind);                                                                                       \
		__uint(max_entries, n);                                                                                   \
		__type(key, __u32);                                                                                       \
		__type(value, __u64);                                                                                     \
	} name SEC(".maps")

MAP(alone_user, BPF_MAP_TYPE_HASH, 16);
MAP(alone_kernel, BPF_MAP_TYPE_HASH, 16);
MAP(array, BPF_MAP_TYPE_ARRAY, 4);
MAP(percpu, BPF_MAP_TYPE_PERCPU_ARRAY, 4);
MAP(start, BPF_MAP_TYPE_HASH, 4096);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} tails SEC(".maps");

struct inner_array {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} inner_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner_array);
} arrays SEC(".maps") = {.values = {[1] = &inner_array}};

struct inner_hash {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} inner_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner_hash);
} hashes SEC(".maps") = {.values = {[1] = &inner_hash}};

struct enter { /* a tracepoint's record of a system call */
	__u64 common;
	__s64 nr;
	__u64 arg[6];
};

static int is_target(void)
{
	return bpf_get_current_pid_tgid() >> 32 == target;
}

static void count(void *map, __u32 key)
{
	__u64 one = 1, *at = bpf_map_lookup_elem(map, &key);

	if (at)
		__sync_fetch_and_add(at, 1);
	else
		bpf_map_update_elem(map, &key, &one, BPF_ANY);
}

#define USER(name) SEC("uprobe.multi") int BPF_KPROBE(name, long i)
#define KERNEL(name) SEC("tracepoint/syscalls/sys_enter_getpriority") int name(struct enter *e)

static void count_inner(void *outer, __u32 key)
{
	__u32 one = 1;
	void *map = bpf_map_lookup_elem(outer, &one);

	if (map)
		count(map, key);
}

USER(u_inner_array)
{
	count_inner(&arrays, 0);
	return 0;
}

KERNEL(k_inner_array)
{
	if (is_target())
		count_inner(&arrays, 0);
	return 0;
}

USER(u_inner_hash)
{
	count_inner(&hashes, 0);
	return 0;
}

KERNEL(k_inner_hash)
{
	if (is_target())
		count_inner(&hashes, 0);
	return 0;
}

USER(u_alone)
{
	count(&alone_user, 1);
	return 0;
}

KERNEL(k_alone)
{
	if (is_target())
		count(&alone_kernel, 1);
	return 0;
}

USER(u_array)
{
	count(&array, 0);
	count(&array, 1);
	return 0;
}

KERNEL(k_array)
{
	if (!is_target())
		return 0;
	count(&array, 0);
	count(&array, 2);
	return 0;
}

USER(u_percpu)
{
	count(&percpu, 0);
	return 0;
}

KERNEL(k_percpu)
{
	if (is_target())
		count(&percpu, 1);
	return 0;
}

USER(u_bss)
{
	__sync_fetch_and_add(&bss_user, 1);
	__sync_fetch_and_add(&bss_both, 1);
	return 0;
}

KERNEL(k_bss)
{
	if (!is_target())
		return 0;
	__sync_fetch_and_add(&bss_kernel, 1);
	__sync_fetch_and_add(&bss_both, 1);
	return 0;
}

/* What one side writes the other finds. */
USER(u_hash)
{
	__u32 key = (__u32)i;
	__u64 value = key + 1000;

	bpf_map_update_elem(&start, &key, &value, BPF_ANY);
	return 0;
}

static int take(__u32 key)
{
	__u64 *at = bpf_map_lookup_elem(&start, &key);

	if (!at || *at != key + 1000)
		return 0;
	__sync_fetch_and_add(&bss_kernel, 1);
	bpf_map_delete_elem(&start, &key);
	return 0;
}

KERNEL(k_hash)
{
	return is_target() ? take((__u32)e->arg[1]) : 0;
}

/* The same type of program for an event of the kernel's own, which is known when it is attached. */
SEC("uprobe")
int BPF_KPROBE(e_hash, long i)
{
	return take((__u32)i);
}

static __always_inline void send(void *ctx, int from, __u64 *counter)
{
	struct mixed_record r = {from, (__u32)__sync_fetch_and_add(counter, 1)}, *at = bpf_ringbuf_reserve(&ring, sizeof(r), 0);

	if (!at)
		return;
	*at = r;
	bpf_ringbuf_submit(at, 0);
}

USER(u_ring)
{
	send(ctx, RECORD_USER, &bss_user);
	return 0;
}

KERNEL(k_ring)
{
	if (is_target())
		send(e, RECORD_KERNEL, &bss_kernel);
	return 0;
}

USER(u_perf)
{
	struct mixed_record r = {RECORD_USER, (__u32)__sync_fetch_and_add(&bss_user, 1)};

	bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &r, sizeof(r));
	return 0;
}

KERNEL(k_perf)
{
	struct mixed_record r = {RECORD_KERNEL};

	if (!is_target())
		return 0;
	r.n = (__u32)__sync_fetch_and_add(&bss_kernel, 1);
	bpf_perf_event_output(e, &perf, BPF_F_CURRENT_CPU, &r, sizeof(r));
	return 0;
}

KERNEL(k_tail)
{
	if (is_target())
		bpf_tail_call(e, &tails, 1);
	return 0;
}

KERNEL(k_tail_end)
{
	__sync_fetch_and_add(&bss_kernel, 1);
	return 0;
}

SEC("raw_tp/sys_enter")
int r_enter(struct bpf_raw_tracepoint_args *c)
{
	if (is_target() && c->args[1] == 140) /* getpriority */
		__sync_fetch_and_add(&bss_kernel, 1);
	return 0;
}
