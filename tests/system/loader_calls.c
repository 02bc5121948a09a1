/* SPDX-License-Identifier: MIT */
/*
 * A loader made of raw bpf(2) calls: prints one line per case, without descriptors, ids or
 * addresses, so that what the kernel answers and what the broker answers can be compared line by
 * line (loader_parity.sh).
 */
#include "loader_calls.h"

static void attr_tail(void)
{
	union call_attr t = {};

	t.a.map_type = BPF_MAP_TYPE_ARRAY;
	t.a.key_size = 4;
	t.a.value_size = 8;
	t.a.max_entries = 1;
	call_show_fd("attr: size 152", call_bpf(BPF_MAP_CREATE, &t, 152));
	call_show_fd("attr: size 256, zero tail", call_bpf(BPF_MAP_CREATE, &t, 256));
	t.bytes[255] = 1;
	call_show_fd("attr: size 256, tail not zero", call_bpf(BPF_MAP_CREATE, &t, 256));
	t.bytes[255] = 0;
	t.bytes[150] = 1;
	call_show_fd("attr: unknown field of the command", call_bpf(BPF_MAP_CREATE, &t, 160));
	t.bytes[150] = 0;
	call_show_fd("attr: size 20", call_bpf(BPF_MAP_CREATE, &t, 20));
	call_show_fd("attr: size 12", call_bpf(BPF_MAP_CREATE, &t, 12));
	call_show_fd("attr: size 0", call_bpf(BPF_MAP_CREATE, &t, 0));
	call_show_fd("attr: size 5000", call_bpf(BPF_MAP_CREATE, &t, 5000));
	call_show_fd("attr: NULL", call_bpf(BPF_MAP_CREATE, NULL, 72));
	call_show("attr: unknown command", call_bpf(9999, &t, 72));
	call_show("attr: unknown command, bits 16", call_bpf(BPF_PROG_LOAD | 1 << 16, &t, 72));
	call_show("attr: command -1", call_bpf(-1, &t, 72));
}

void attr_cases(void)
{
	union call_attr t = {};

	attr_tail();
	memset(&t, 0, sizeof(t));
	t.w[0] = 0x7fffffff;
	call_show("id: map, none left", call_bpf(BPF_MAP_GET_NEXT_ID, &t, 16));
	t.w[0] = 0x7ffffff0;
	call_show("id: map, at the end", call_bpf(BPF_MAP_GET_NEXT_ID, &t, 16));
	call_show("id: prog, at the end", call_bpf(BPF_PROG_GET_NEXT_ID, &t, 16));
	call_show("id: btf, at the end", call_bpf(BPF_BTF_GET_NEXT_ID, &t, 16));
	call_show("id: link, at the end", call_bpf(BPF_LINK_GET_NEXT_ID, &t, 16));
	call_show("id: map fd, no such id", call_bpf(BPF_MAP_GET_FD_BY_ID, &t, 16));
	call_show("id: prog fd, no such id", call_bpf(BPF_PROG_GET_FD_BY_ID, &t, 16));
	call_show("id: btf fd, no such id", call_bpf(BPF_BTF_GET_FD_BY_ID, &t, 16));
	call_show("id: link fd, no such id", call_bpf(BPF_LINK_GET_FD_BY_ID, &t, 16));
	t.w[1] = 0xff;
	call_show("id: map fd, next_id set", call_bpf(BPF_MAP_GET_FD_BY_ID, &t, 16));
	t.w[1] = 0;
	t.w[2] = 0xff;
	call_show("id: map fd, bad flags", call_bpf(BPF_MAP_GET_FD_BY_ID, &t, 16));
	call_show("id: prog fd, bad flags", call_bpf(BPF_PROG_GET_FD_BY_ID, &t, 16));
	memset(&t, 0, sizeof(t));
	call_show_fd("stats: run time", call_bpf(BPF_ENABLE_STATS, &t, 4));
	t.w[0] = 7;
	call_show_fd("stats: unknown", call_bpf(BPF_ENABLE_STATS, &t, 4));
}

int main(void)
{
	/* What a failed open leaves is what is compared: the same numbers are free on both sides.
	 */
	attr_cases();
	maps_cases();
	elem_cases();
	btf_cases();
	prog_cases();
	log_cases();
	link_cases();
	info_cases();
	btf_kernel_cases();
	perf_cases();
	return 0;
}
