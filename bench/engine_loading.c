/* SPDX-License-Identifier: MIT */
/* Rows engine/load/N: what a program of N instructions costs at load, per instruction: verified and compiled. */
#include "engine.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <unistd.h>

#define WINDOWS 15
#define MOST 2000

static void fill(struct bpf_insn *insn, unsigned int n)
{
	static const struct bpf_insn body[] = {
		{BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 7},  {BPF_ALU64 | BPF_ADD | BPF_X, 3, 2, 0, 0},
		{BPF_STX | BPF_MEM | BPF_DW, 10, 3, -8, 0}, {BPF_LDX | BPF_MEM | BPF_DW, 4, 10, -8, 0},
		{BPF_ALU64 | BPF_XOR | BPF_X, 4, 3, 0, 0},  {BPF_JMP | BPF_JGT | BPF_K, 4, 0, 1, 1000},
		{BPF_ALU64 | BPF_LSH | BPF_K, 4, 0, 0, 3},  {BPF_ALU64 | BPF_MOV | BPF_X, 3, 4, 0, 0},
	};

	for (unsigned int i = 0; i < n; i++)
		insn[i] = body[i % 8];
	insn[0] = (struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 1};
	insn[1] = (struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 1};
	insn[n - 3] = (struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 1};
	insn[n - 2] = (struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0};
	insn[n - 1] = (struct bpf_insn){BPF_JMP | BPF_EXIT, 0, 0, 0, 0};
}

static void load(const char *prefix, unsigned int n)
{
	struct bpf_insn insn[MOST];
	double best = 1e18;
	char row[64];

	snprintf(row, sizeof(row), "engine/load/%u", n);
	if (!engine_wants(prefix, row))
		return;
	fill(insn, n);
	for (int i = 0; i < WINDOWS; i++) {
		double begin = engine_now(), ns;
		int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "load", "GPL", insn, n, NULL);

		ns = engine_now() - begin;
		if (fd < 0) {
			perror(row);
			return;
		}
		close(fd);
		best = ns < best ? ns : best;
	}
	printf("%s %.2f ns\n", row, best / n);
}

void engine_loading(const char *prefix)
{
	load(prefix, 20);
	load(prefix, 200);
	load(prefix, MOST);
}
