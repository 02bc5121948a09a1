/* SPDX-License-Identifier: MIT */
/* The callers of the probed function, one after the other. */
#pragma once

#include "payload/payload.h"

#define STACK_WINDOW_WORDS 16u

struct stack_walk {
	u64 pc;	 /* of this frame */
	bool call; /* pc is where a call will return to, else an instruction that is being executed */
	u64 sp, bp;
	u32 frames;
	u32 module; /* of the last frame: probably of the next one, too */
	u64 sure_lo, sure_hi; /* [lo, hi) is memory of this thread's stack for certain */
	u64 window_at; /* address of window[0], 0 = nothing was read yet */
	u64 window[STACK_WINDOW_WORDS];
	u64 entry; /* struct nt_ret_entry: the newest call that is not behind us */
};

#pragma GCC visibility push(hidden)
/* Begins at ctx (struct pt_regs behind struct nt_run). */
void stack_walk_begin(struct stack_walk *w, u64 ctx);
/* To the caller. False: there is none, or it cannot be found. */
bool stack_walk_next(struct stack_walk *w);
/* What the address belongs to. False: to no file that is known. */
bool stack_module_of(u64 pc, struct nt_unwind_module *ret);
#pragma GCC visibility pop
