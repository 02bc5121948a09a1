/* SPDX-License-Identifier: MIT */
/* Static functions: the caller's stack, map values and ctx as arguments, a call in a loop. */
#include "common.h"

struct key {
	u32 pid;
	char name[12];
};

MAP counts = {BPF_MAP_TYPE_HASH, sizeof(struct key), 8, 1024, 0};

NOINLINE int fill(struct key *k, struct pt_regs *ctx, u64 p)
{
	if (!p)
		p = ctx->rsp;
	k->pid = bpf_get_current_pid_tgid() >> 32;
	return bpf_probe_read_user_str(k->name, sizeof(k->name), (void *)p) > 0;
}

NOINLINE void add(u64 *value, u64 by)
{
	if (value)
		__sync_fetch_and_add(value, by);
}

PROG int probe(struct pt_regs *ctx)
{
	struct key k = {};
	u64 one = 1, *v;
	u64 arg[3] = {ctx->rdi, ctx->rsi, ctx->rdx};
	int i;

	for (i = 0; i < 3; i++) {
		if (!fill(&k, ctx, arg[i]))
			continue;
		v = bpf_map_lookup_elem(&counts, &k);
		if (v)
			add(v, i + 1);
		else
			bpf_map_update_elem(&counts, &k, &one, BPF_NOEXIST);
	}
	return 0;
}
