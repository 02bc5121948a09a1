// SPDX-License-Identifier: MIT
/* Counts entries and returns of every function; the cookie is its number. With helpers: also reads memory. */
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>

#include "all.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ALL_MAX);
	__type(key, __u32);
	__type(value, __u64);
} entries SEC(".maps"), returns SEC(".maps");

/* A hash needs helpers: more of a hit is spent inside the payload. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} threads SEC(".maps");

const volatile __u32 use_hash;
__u64 reads_good, reads_bad, reads_wrong; /* of memory of the process */

/* Now and then: what an argument points to, if it is a pointer, and addresses where nothing is. */
static __always_inline void read_memory(struct pt_regs *ctx)
{
	char text[16];
	__u64 word;

	if (bpf_probe_read_user(&word, sizeof(word), (void *)ctx->rdi) || bpf_probe_read_user_str(text, sizeof(text), (void *)ctx->rsi) < 0)
		__sync_fetch_and_add(&reads_bad, 1);
	else
		__sync_fetch_and_add(&reads_good, 1);
	if (!bpf_probe_read_user(&word, sizeof(word), (void *)8) || !bpf_probe_read_user(&word, sizeof(word), (void *)0x7ffffffffff8) ||
	    !bpf_probe_read_user(&word, sizeof(word), (void *)(1ull << 63 | ctx->rsp)))
		__sync_fetch_and_add(&reads_wrong, 1);
	if (bpf_probe_read_user(&word, sizeof(word), (void *)ctx->rsp))
		__sync_fetch_and_add(&reads_wrong, 1);
}

static __always_inline void count(void *map, __u32 slot)
{
	__u64 *v = bpf_map_lookup_elem(map, &slot);

	if (v)
		__sync_fetch_and_add(v, 1);
}

static __always_inline void count_thread(struct pt_regs *ctx)
{
	__u64 key = bpf_get_current_pid_tgid(), one = 1, *v;

	v = bpf_map_lookup_elem(&threads, &key);
	if (v && !(__sync_fetch_and_add(v, 1) & 127))
		read_memory(ctx);
	if (!v)
		bpf_map_update_elem(&threads, &key, &one, BPF_NOEXIST);
}

SEC("uprobe.multi")
int on_entry(struct pt_regs *ctx)
{
	count(&entries, bpf_get_attach_cookie(ctx));
	if (use_hash)
		count_thread(ctx);
	return 0;
}

SEC("uretprobe.multi")
int on_return(struct pt_regs *ctx)
{
	count(&returns, bpf_get_attach_cookie(ctx));
	if (use_hash)
		count_thread(ctx);
	return 0;
}
