/* SPDX-License-Identifier: MIT */
/*
 * What programs are made of: compute kernels and map operations, each repeated ROUNDS times in a run, and that as often
 * as the context's first word says. One program each, a raw tracepoint's, so that BPF_PROG_TEST_RUN runs it. It takes the
 * time itself: what it waits for before and after is not its cost.
 */
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "engine.h"

char LICENSE[] SEC("license") = "GPL";

#define KEYS 1024u

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KEYS);
	__type(key, __u32);
	__type(value, __u64);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KEYS);
	__type(key, __u32);
	__type(value, __u64);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * KEYS);
	__type(key, __u32);
	__type(value, __u64);
} hash4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * KEYS);
	__type(key, __u64);
	__type(value, __u64);
} hash8 SEC(".maps");

struct key16 {
	__u64 a, b;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * KEYS);
	__type(key, struct key16);
	__type(value, struct key16);
} hash16 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2 * KEYS);
	__type(key, __u64);
	__type(value, __u64);
} percpu_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2 * KEYS);
	__type(key, __u64);
	__type(value, __u64);
} lru SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, KEYS);
	__type(value, __u64);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");

/* The loader's own. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * KEYS);
	__type(key, __u64);
	__type(value, __u64);
} mine SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

__u64 sink, took, lost;
__u64 page; /* some memory of the loader's */
__u8 text[64];

/* A program `name` whose body is done with i = 0 .. ROUNDS - 1, over and over. */
#define REPEAT(name, ...)                                                                                              \
	static long name##_round(__u32 round, void *data)                                                              \
	{                                                                                                              \
		for (__u32 i = 0; i < ROUNDS; i++) {                                                                   \
			__VA_ARGS__;                                                                                           \
		}                                                                                                      \
		return 0;                                                                                              \
	}                                                                                                              \
	SEC("raw_tp")                                                                                                  \
	int name(struct bpf_raw_tracepoint_args *ctx)                                                                  \
	{                                                                                                              \
		__u64 begin = bpf_ktime_get_ns();                                                                      \
		long done = bpf_loop((__u32)ctx->args[0], name##_round, 0, 0);                                         \
                                                                                                                       \
		took = bpf_ktime_get_ns() - begin;                                                                     \
		return done;                                                                                           \
	}

REPEAT(nothing, __asm__ volatile("" : "+r"(i)))

static __u64 fnv(__u32 seed)
{
	__u64 h = 0xcbf29ce484222325ull ^ seed;

	for (int k = 0; k < 64; k++)
		h = (h ^ text[k]) * 0x100000001b3ull;
	return h;
}
REPEAT(compute_fnv, sink += fnv(i))

static __u64 log2_of(__u64 v)
{
	__u32 shift, r;

	r = (v > 0xffffffffull) << 5;
	v >>= r;
	shift = (v > 0xffff) << 4;
	v >>= shift;
	r |= shift;
	shift = (v > 0xff) << 3;
	v >>= shift;
	r |= shift;
	shift = (v > 0xf) << 2;
	v >>= shift;
	r |= shift;
	shift = (v > 3) << 1;
	v >>= shift;
	r |= shift | v >> 1;
	return r;
}
REPEAT(compute_log2, sink += log2_of((__u64)i << (i & 31)))

static __u32 mix(__u32 a, __u32 b, __u32 c)
{
	for (int k = 0; k < 6; k++) {
		a -= c;
		a ^= c << 4 | c >> 28;
		c += b;
		b -= a;
		b ^= a << 6 | a >> 26;
		a += c;
		c -= b;
		c ^= b << 8 | b >> 24;
		b += a;
	}
	return a ^ b ^ c;
}
REPEAT(compute_jhash, sink += mix(i, i * 3, 0xdeadbeef))

REPEAT(helper_pid_tgid, sink += bpf_get_current_pid_tgid())
REPEAT(helper_ktime, sink += bpf_ktime_get_ns())

REPEAT(read_stack, {
	__u64 v = i, copy;

	bpf_probe_read_kernel(&copy, sizeof(copy), &v);
	sink += copy;
})
REPEAT(read_user, {
	__u64 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)(page + i));
	sink += v;
})
REPEAT(read_user_text, {
	char text[32];

	sink += bpf_probe_read_user_str(text, sizeof(text), (void *)page);
})

REPEAT(array_add, {
	__u32 key = i & (KEYS - 1);
	__u64 *v = bpf_map_lookup_elem(&array, &key);

	if (v)
		*v += 1;
})
REPEAT(percpu_array_add, {
	__u32 key = i & (KEYS - 1);
	__u64 *v = bpf_map_lookup_elem(&percpu, &key);

	if (v)
		*v += 1;
})

/* Look up and add; what is not there is inserted (in the first round). */
#define COUNT(map, type, make)                                                                                         \
	{                                                                                                              \
		type key = make;                                                                                       \
		__u64 *v = bpf_map_lookup_elem(&map, &key), one = 1;                                                   \
                                                                                                                       \
		if (v)                                                                                                 \
			*v += 1;                                                                                       \
		else                                                                                                   \
			bpf_map_update_elem(&map, &key, &one, BPF_NOEXIST);                                            \
	}
REPEAT(hash4_lookup, COUNT(hash4, __u32, i))
REPEAT(hash8_lookup, COUNT(hash8, __u64, i * 7919ull))
REPEAT(percpu_hash_lookup, COUNT(percpu_hash, __u64, i * 7919ull))
REPEAT(lru_lookup, COUNT(lru, __u64, i * 7919ull))

REPEAT(hash16_lookup, {
	struct key16 key = {i, 5}, one = {1, 1}, *v = bpf_map_lookup_elem(&hash16, &key);

	if (v)
		v->a += 1;
	else
		bpf_map_update_elem(&hash16, &key, &one, BPF_NOEXIST);
})

REPEAT(hash8_miss, {
	__u64 key = ~(__u64)i;

	sink += bpf_map_lookup_elem(&hash8, &key) != 0;
})

REPEAT(hash8_update, {
	__u64 key = i * 7919ull, v = i;

	bpf_map_update_elem(&hash8, &key, &v, BPF_ANY);
})

REPEAT(hash8_insert_delete, {
	__u64 key = 1ull << 40 | i;
	__u64 v = i;

	bpf_map_update_elem(&hash8, &key, &v, BPF_ANY);
	bpf_map_delete_elem(&hash8, &key);
})

REPEAT(queue_push_pop, {
	__u64 v = i;

	bpf_map_push_elem(&queue, &v, 0);
	bpf_map_pop_elem(&queue, &v);
})

REPEAT(ring_output, {
	__u64 v[2] = {i, 1};

	bpf_ringbuf_output(&ring, v, sizeof(v), BPF_RB_NO_WAKEUP);
})

REPEAT(ring_reserve, {
	__u64 *v = bpf_ringbuf_reserve(&ring, 16, 0);

	if (v) {
		v[0] = i;
		bpf_ringbuf_submit(v, BPF_RB_NO_WAKEUP);
	}
})

/* For engine_rings.c. */
SEC("uprobe.multi")
int event(struct pt_regs *ctx)
{
	__u64 *v = bpf_ringbuf_reserve(&events, 16, 0);

	if (!v) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	v[0] = bpf_get_current_pid_tgid();
	v[1] = bpf_get_attach_cookie(ctx);
	bpf_ringbuf_submit(v, 0);
	return 0;
}
