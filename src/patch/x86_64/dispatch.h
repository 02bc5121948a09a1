/* SPDX-License-Identifier: MIT */
/* Machine code of the shared part of a hit: dispatchers (entry) and exits (return). See dispatch.c. */
#pragma once

#include "isa/x86_64/writer.h"
#include "patch/region.h"

struct dispatch_words { /* where the region keeps the 64-bit words that the code loads */
	u64 gate, local_gate, entry; /* of consumer 0; consumer i is at + 24 * i */
	u64 fn_ret_slow, fn_row_slow, rows;
};

#define DISPATCH_WORDS_PER_CONSUMER 3u

/* Distance from a slot's code back to its struct nt_slot_meta. */
static inline u32 dispatch_meta_size(u32 ncookies)
{
	return (u32)sizeof(struct nt_slot_meta) + 8 * ncookies;
}

bool dispatch_shape_returns(const struct region_shape *s);

/* entry: the sites are function entries (nothing below rsp is alive); else the slot has skipped the red zone. */
void dispatch_emit_entry(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			 const struct dispatch_words *words, bool entry);
void dispatch_emit_exit(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			const struct dispatch_words *words);
