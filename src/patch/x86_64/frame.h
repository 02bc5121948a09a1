/* SPDX-License-Identifier: MIT */
/* The frame that a hit makes on the stack: struct nt_run and struct pt_regs. Internal to src/patch/x86_64. */
#pragma once

#include "abi/payload.h"
#include "isa/x86_64/writer.h"

#define FRAME ((s32)(sizeof(struct nt_run) + NT_PT_REGS_SIZE))
#define CTX ((s32)sizeof(struct nt_run))
#define REG(i) (CTX + 8 * (s32)(i))

/* What the frame has to hold. */
struct frame_need {
	u64 ctx;      /* pt_regs words that are read */
	u32 clobbers; /* registers to restore; of the caller-saved */
};

#define FRAME_CALLER_SAVED                                                                                 \
	(1u << X86_RAX | 1u << X86_RCX | 1u << X86_RDX | 1u << X86_RSI | 1u << X86_RDI | 1u << X86_R8 | \
	 1u << X86_R9 | 1u << X86_R10 | 1u << X86_R11)

/* Makes the frame, saves registers and flags; afterwards rax is free. skip: registers that the caller of this stores itself. */
void frame_open(struct x86_writer *w, struct frame_need n, u64 skip);
/* The registers in `mask` (of those that were saved), and the flags, through rax. The frame itself stays. */
void frame_restore(struct x86_writer *w, u32 mask);
void frame_close_flags(struct x86_writer *w);

/*
 * Calls a payload function, whose address is in the word, from inside the frame. Every caller-saved register that is not in
 * the frame yet (saved) is kept, too; the result is in rax. Between begin and end: its arguments.
 */
void frame_call(struct x86_writer *w, u64 word, u32 saved);
/* The same with the address of the return address word as its argument. */
void frame_call_word(struct x86_writer *w, u64 word, u32 saved);
void frame_call_begin(struct x86_writer *w, u32 saved);
void frame_call_end(struct x86_writer *w, u64 word, u32 saved);

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
