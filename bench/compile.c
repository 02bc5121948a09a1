/* SPDX-License-Identifier: MIT */
/*
 * Rows engine/verify/N and engine/jit/N: what the two parts of loading a program of N instructions cost by themselves, per
 * instruction: no system call, no broker. The program is that of engine/load/N, with helper calls and map look-ups in it
 * (engine/jit-calls/N), since these are what the compiler spends its time on. One process, best of many runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jit/jit.h"
#include "maps/maps.h"
#include "verifier/verifier.h"

#define RUNS 200
#define MOST 2000u

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static const struct bpf_insn plain[] = {
    {BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 7},	{BPF_ALU64 | BPF_ADD | BPF_X, 3, 2, 0, 0},
    {BPF_STX | BPF_MEM | BPF_DW, 10, 3, -8, 0}, {BPF_LDX | BPF_MEM | BPF_DW, 4, 10, -8, 0},
    {BPF_ALU64 | BPF_XOR | BPF_X, 4, 3, 0, 0},	{BPF_JMP | BPF_JGT | BPF_K, 4, 0, 1, 1000},
    {BPF_ALU64 | BPF_LSH | BPF_K, 4, 0, 0, 3},	{BPF_ALU64 | BPF_MOV | BPF_X, 3, 4, 0, 0},
};

/* (*map_lookup(map, &key))++ */
static const struct bpf_insn calls[] = {
    {BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 1},
    {BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0},
    {BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4},
    {BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, 0},
    {0},
    {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem},
    {BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 0},
    {BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 1},
    {BPF_STX | BPF_ATOMIC | BPF_DW, 0, 3, 0, BPF_ADD},
    {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_pid_tgid},
};

/* Whole pieces only; the rest is filled up. */
static void fill(struct bpf_insn *insn, unsigned int n, const struct bpf_insn *piece, unsigned int len)
{
	unsigned int i = 1;

	insn[0] = (struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 1};
	for (; i + len + 2 <= n; i += len)
		memcpy(&insn[i], piece, len * sizeof(*insn));
	for (; i + 1 < n; i++)
		insn[i] = (struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0};
	insn[n - 1] = (struct bpf_insn){BPF_JMP | BPF_EXIT, 0, 0, 0, 0};
}

static void measure(const char *verify, const char *compile, unsigned int n, const struct bpf_insn *piece, unsigned int len)
{
	static struct bpf_insn insn[MOST];
	struct nt_map_view view = {.type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 1024, .ncpus = 1};
	struct verifier_map map = {.type = view.type, .key_size = 4, .value_size = 8, .max_entries = 1024};
	struct verifier_prog prog = {.insns = insn, .n = n, .prog_type = BPF_PROG_TYPE_KPROBE, .maps = &map, .nmaps = 1};
	double best_verify = 1e18, best_jit = 1e18;

	map_geometry(&view);
	fill(insn, n, piece, len);
	for (int i = 0; i < RUNS; i++) {
		struct verifier_log log = {0};
		struct verifier_result facts;
		struct jit_image img;
		double begin = now(), verified, done;

		if (verifier_check(&prog, &log, &facts))
			exit(1);
		verified = now();
		if (jit_compile(&(struct jit_input){.arch = JIT_X86_64, .insns = insn, .n = n, .facts = &facts, .maps = &view, .nmaps = 1,
						    .has_bmi2 = true, .has_rdpid = true}, &img))
			exit(1);
		done = now();
		best_verify = verified - begin < best_verify ? verified - begin : best_verify;
		best_jit = done - verified < best_jit ? done - verified : best_jit;
		jit_image_deinit(&img);
		verifier_result_deinit(&facts);
	}
	printf("engine/%s/%u %.2f ns\n", verify, n, best_verify / n);
	printf("engine/%s/%u %.2f ns\n", compile, n, best_jit / n);
}

int main(void)
{
	static const unsigned int sizes[] = {20, 200, MOST};

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		measure("verify", "jit", sizes[i], plain, sizeof(plain) / sizeof(plain[0]));
		measure("verify-calls", "jit-calls", sizes[i], calls, sizeof(calls) / sizeof(calls[0]));
	}
	return 0;
}
