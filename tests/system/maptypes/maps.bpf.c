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

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, __u64);
} lru SEC(".maps");

struct prefix {
	__u32 len;
	__u8 ip[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16);
	__type(key, struct prefix);
	__type(value, __u64);
} lpm SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, __u64);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__type(value, __u64);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 1000);
	__type(value, __u64);
} bloom SEC(".maps");

struct inner_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} inner0 SEC(".maps");

struct inner_hash {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} inner_h SEC(".maps");

struct inner_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring0 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner_map);
} outer SEC(".maps") = {.values = {&inner0}};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u64);
	__array(values, struct inner_hash);
} outer_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner_ring);
} rings SEC(".maps") = {.values = {&ring0}};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 64);
	__uint(key_size, 4);
	__uint(value_size, 127 * 8);
} stacks SEC(".maps");

static long inner_array(__u32 key, __u32 which)
{
	void *inner = bpf_map_lookup_elem(&outer, &which);
	__u64 *v, one = 1000 + key;

	if (!inner)
		return -1;
	v = bpf_map_lookup_elem(inner, &key);
	if (!v)
		return -2;
	return bpf_map_update_elem(inner, &key, &one, 0);
}

static long inner_hash(__u32 key, __u64 which)
{
	void *inner = bpf_map_lookup_elem(&outer_hash, &which);
	__u64 one = 2000 + key, *v;

	if (!inner)
		return -1;
	v = bpf_map_lookup_elem(inner, &key);
	if (v) {
		*v += 1;
		return 1;
	}
	return bpf_map_update_elem(inner, &key, &one, 0);
}

static long inner_ring(__u64 value, __u32 which)
{
	void *ring = bpf_map_lookup_elem(&rings, &which);
	__u64 *rec;

	if (!ring)
		return -1;
	rec = bpf_ringbuf_reserve(ring, 8, 0);
	if (!rec)
		return -2;
	*rec = value;
	bpf_ringbuf_submit(rec, 0);
	return 0;
}

static long keyed(__u64 op, __u64 a, __u64 b)
{
	__u64 key = a >> 8, *v;
	struct prefix p = {.len = key & 63, .ip = {10, 1, key >> 8, key >> 16}};
	int lpm_map = (a & 15) == IN_LPM;

	if (op == OP_LOOKUP) {
		v = lpm_map ? bpf_map_lookup_elem(&lpm, &p) : bpf_map_lookup_elem(&lru, &key);
		return v ? *v : -1;
	}
	if (op == OP_UPDATE)
		return lpm_map ? bpf_map_update_elem(&lpm, &p, &b, 0) : bpf_map_update_elem(&lru, &key, &b, 0);
	return lpm_map ? bpf_map_delete_elem(&lpm, &p) : bpf_map_delete_elem(&lru, &key);
}

static long unkeyed(__u64 op, __u64 a, __u64 b)
{
	__u64 value = a >> 8;
	long r = -1000;

	switch (a & 15) {
	case IN_QUEUE:
		r = op == OP_PUSH ? bpf_map_push_elem(&queue, &value, b)
		    : op == OP_POP ? bpf_map_pop_elem(&queue, &value)
				   : bpf_map_peek_elem(&queue, &value);
		break;
	case IN_STACK:
		r = op == OP_PUSH ? bpf_map_push_elem(&stack, &value, b)
		    : op == OP_POP ? bpf_map_pop_elem(&stack, &value)
				   : bpf_map_peek_elem(&stack, &value);
		break;
	case IN_BLOOM:
		return op == OP_PUSH ? bpf_map_push_elem(&bloom, &value, b) : bpf_map_peek_elem(&bloom, &value);
	}
	return r || op == OP_PUSH ? r : 100 + value;
}

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
	case OP_LOOKUP:
	case OP_UPDATE:
	case OP_DELETE: result = keyed(op, a, b); break;
	case OP_PUSH:
	case OP_POP:
	case OP_PEEK: result = unkeyed(op, a, b); break;
	case OP_STACKID: result = bpf_get_stackid(ctx, &stacks, b); break;
	case OP_INNER_ARRAY: result = inner_array(a, b); break;
	case OP_INNER_HASH: result = inner_hash(a, b); break;
	case OP_INNER_RING: result = inner_ring(a, b); break;
	case OP_PERF_FLAGS: result = perf(ctx, a, 8, b); break;
	}
	return 0;
}
