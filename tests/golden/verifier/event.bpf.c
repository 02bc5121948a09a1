/* SPDX-License-Identifier: MIT */
/* Events in a ring buffer: reserve, submit, discard, strings of the user, pt_regs, a filter. */
#include "common.h"

struct event {
	u64 ts, arg[3];
	u32 pid, len;
	char comm[16];
	char name[64];
};

MAP ring = {BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 16, 0};
MAP wanted = {BPF_MAP_TYPE_HASH, 64, 4, 64, 0};
MAP dropped = {BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0};

PROG int probe(struct pt_regs *ctx)
{
	char key[64] = {};
	struct event *e;
	u32 zero = 0;
	long n = bpf_probe_read_user_str(key, sizeof(key), (void *)ctx->rdi);

	if (n <= 0 || !bpf_map_lookup_elem(&wanted, key))
		return 0;
	e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e) {
		u64 *count = bpf_map_lookup_elem(&dropped, &zero);

		if (count)
			__sync_fetch_and_add(count, 1);
		return 0;
	}
	e->ts = bpf_ktime_get_ns();
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->arg[0] = ctx->rdi;
	e->arg[1] = ctx->rsi;
	e->arg[2] = ctx->rdx;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	n = bpf_probe_read_user_str(e->name, sizeof(e->name), (void *)ctx->rdi);
	if (n < 0) {
		bpf_ringbuf_discard(e, 0);
		return 0;
	}
	e->len = n;
	bpf_ringbuf_submit(e, 0);
	return 0;
}
