/* SPDX-License-Identifier: MIT */
/* Latency histogram: log2 by a loop and by branches, look-up or init of a slot, atomic counters. */
#include "common.h"

struct hist {
	u64 slots[27];
	u64 sum;
};

MAP starts = {BPF_MAP_TYPE_HASH, 4, 8, 10240, 0};
MAP hists = {BPF_MAP_TYPE_HASH, 4, sizeof(struct hist), 1024, 0};
MAP counters = {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 32, 0};

static u64 log2_branches(u32 v)
{
	u32 shift, r;

	r = (v > 0xffff) << 4;
	v >>= r;
	shift = (v > 0xff) << 3;
	v >>= shift;
	r |= shift;
	shift = (v > 0xf) << 2;
	v >>= shift;
	r |= shift;
	shift = (v > 0x3) << 1;
	v >>= shift;
	r |= shift;
	r |= v >> 1;
	return r;
}

static u32 log2_loop(u64 v)
{
	u32 i;

	for (i = 0; i < 32; i++) {
		if (v <= 1)
			break;
		v >>= 1;
	}
	return i;
}

PROG int probe(struct pt_regs *ctx)
{
	u32 tid = (u32)bpf_get_current_pid_tgid(), pid = bpf_get_current_pid_tgid() >> 32, slot;
	u64 *start = bpf_map_lookup_elem(&starts, &tid), delta, *counter;
	struct hist *h, zero;

	if (!start) {
		u64 now = bpf_ktime_get_ns();

		bpf_map_update_elem(&starts, &tid, &now, BPF_ANY);
		return 0;
	}
	delta = bpf_ktime_get_ns() - *start;
	bpf_map_delete_elem(&starts, &tid);
	h = bpf_map_lookup_elem(&hists, &pid);
	if (!h) {
		__builtin_memset(&zero, 0, sizeof(zero));
		bpf_map_update_elem(&hists, &pid, &zero, BPF_NOEXIST);
		h = bpf_map_lookup_elem(&hists, &pid);
		if (!h)
			return 0;
	}
	slot = delta >> 32 ? log2_branches(delta >> 32) + 32 : log2_branches((u32)delta);
	if (slot >= 27)
		slot = 26;
	__sync_fetch_and_add(&h->slots[slot], 1);
	__sync_fetch_and_add(&h->sum, delta);
	slot = log2_loop(delta) & 31;
	counter = bpf_map_lookup_elem(&counters, &slot);
	if (counter)
		*counter += 1;
	return 0;
}
