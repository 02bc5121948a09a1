/* SPDX-License-Identifier: MIT */
/*
 * Random programs that are valid by construction: every register holds a number between statements,
 * jumps go forward (but for counted loops), memory accesses stay inside the stack, ctx and map
 * values. The choices come from a byte string (a fuzzer's input) and, when that is used up, from a
 * generator seeded by it.
 */
#pragma once

#include "harness.h"

enum gen_flags {
	GEN_KERNEL = 1, /* only what a kernel of any age takes in a socket filter: no helpers, no ctx, aligned stack */
	GEN_V4 = 2,	/* sdiv, movsx, bswap, ldsx, gotol */
	GEN_ACQ_REL = 4, /* load_acquire, store_release */
	GEN_VERIFY = 8	 /* no helper that only the tests have, nothing that a verifier refuses to a uprobe program */
};

struct gen {
	const u8 *bytes;
	size_t nbytes, pos;
	u64 state;
	u32 flags;
	struct jt *t;
	u32 pending[32], npending; /* forward jumps without a target yet */
	u32 depth;		   /* bytes of stack in use */
	u32 body, sub, sub_body;   /* the program behind its initialisations; sub-program, and its */
	u32 sub_call[8], nsub_calls;
	bool in_sub, in_loop;
};

void gen_init(struct gen *g, struct jt *t, const void *bytes, size_t n, u64 seed, u32 flags);
/* Fills t->insn, t->fact and (without GEN_KERNEL) maps; about `statements` statements. */
void gen_program(struct gen *g, u32 statements);
u64 gen_u64(struct gen *g);
u32 gen_below(struct gen *g, u32 n);
