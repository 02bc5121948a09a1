/* SPDX-License-Identifier: MIT */
/*
 * Builds programs from bytes: arithmetic on unknown numbers, branches, spills, indexes into maps and
 * the stack, helpers with sizes, loops. Most are nearly right, so that both verdicts are frequent.
 */
#pragma once

#include <stddef.h>

#include "verifier/verifier.h"

#define GEN_MAX_INSNS 160u

enum { GEN_ARRAY, GEN_DATA, GEN_RING, GEN_MAPS }; /* indexes of the maps that the programs name */

struct gen_input {
	const u8 *data; /* [n] decides; when it is used up, random numbers from state (not 0) do */
	size_t n, pos;
	u64 state;
	u32 max_steps; /* 0: the usual number */
	bool counted;  /* also loops that callbacks, iterators and may_goto count */
};

struct gen_builder {
	struct bpf_insn insn[GEN_MAX_INSNS];
	u32 n;
	u32 pending[GEN_MAX_INSNS], npending; /* forward jumps that have not landed */
	u32 callers[GEN_MAX_INSNS], ncallers; /* loads of the callback's address */
	u32 cb; /* where the callback starts, 0 = there is none */
};

u32 gen_below(struct gen_input *in, u32 n);
u64 gen_number(struct gen_input *in);
void gen_build(struct gen_builder *b, struct gen_input *in);
