/* SPDX-License-Identifier: MIT */
/*
 * Runs a BPF program instruction by instruction, straight from RFC 9669: the second opinion on the
 * JIT in tests. Slow and careful: every memory access is checked against the ranges the caller
 * registered (and the program's own stack), so a wrong program ends with an error instead of a
 * crash. Pure.
 */
#pragma once

#include "abi/types.h"
#include "ebpf/insn.h"

struct interp_range { /* memory [lo, hi) the program may touch; programs use real addresses */
	u64 lo, hi;
	bool writable;
};

/* What lies outside reads as zero and is not written. */
struct interp_arena {
	u64 at, size; /* here */
	u64 user;     /* where its loader has it */
	const u8 *access; /* [n]: is the instruction's address one in the arena? */
};

struct interp {
	const struct bpf_insn *insns;
	u32 n;
	const struct interp_range *range;
	u32 nranges;
	/* What LD_IMM64 src 1 and 2 (map index in imm) stand for: address of the map, of its
	 * data. */
	const u64 *map_view, *map_data;
	u32 nmaps;
	const struct interp_arena *arena; /* NULL: the program has none */
	/* A helper call, also of NT_HELPER_PACKET_LOAD; -errno ends the run. NULL: no helpers. */
	int (*helper)(void *arg, u32 id, const u64 args[5], u64 *ret_r0);
	/* The same for a kernel function (enum ebpf_kfunc); iter_num_* are built in. NULL: none. */
	int (*kfunc)(void *arg, u32 id, const u64 args[5], u64 *ret_r0);
	/* Sees the registers before every instruction; depth: calls deep. NULL: nobody looks. */
	void (*step)(void *arg, u32 insn, const u64 r[11], u32 depth);
	void *arg;
	u32 may_gotos; /* rounds that a call of a function has; 0 = as many as in the kernel */
	u64 max_insns; /* run at most this many; 0 = 1 million */
};

/*
 * Runs with R1 = ctx. bpf_loop() is built in. 0 and R0; -EFAULT an access outside every range; -EINVAL an instruction that
 * does not exist; -ELOOP too many instructions; -E2BIG more than EBPF_MAX_FRAMES calls deep; or
 * what the helper returned.
 */
int interp_run(const struct interp *it, u64 ctx, u64 *ret_r0);
