/* SPDX-License-Identifier: MIT */
/* The frame that a hit makes on the stack: struct nt_run and struct pt_regs. Internal to src/patch/x86_64. */
#pragma once

#include "abi/payload.h"
#include "isa/x86_64/writer.h"

#define FRAME ((s32)(sizeof(struct nt_run) + NT_PT_REGS_SIZE))
#define CTX ((s32)sizeof(struct nt_run))
#define REG(i) (CTX + 8 * (s32)(i))

/* Where a slot's meta is: relative to the return address into it, through the entry, or at a known address. */
enum meta_from { META_FROM_SLOT, META_FROM_ENTRY, META_AT };

struct meta_ref {
	enum meta_from from;
	s32 back; /* META_FROM_SLOT: the return address minus this */
	u64 addr; /* META_AT */
};

/* All of these change rax at most. */
void frame_store_word(struct x86_writer *w, s32 at, enum x86_reg src);
/* rax = word of the meta. */
void frame_load_meta(struct x86_writer *w, const struct meta_ref *m, u32 off);

/* The stack pointer that the site was reached with: its distance above the frame, or this: it is the word above the frame. */
#define FRAME_SP_ON_STACK (-1)

/* ctx's ip and sp, where `ctx` (a bit per enum nt_pt_reg) has them: as at the site ... */
void frame_fill_site(struct x86_writer *w, u64 ctx, const struct meta_ref *m, s32 sp);
/* ... or, where the site is a `ret`, as behind it. */
void frame_fill_returned(struct x86_writer *w, u64 ctx, s32 sp);
