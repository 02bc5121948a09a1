/* SPDX-License-Identifier: MIT */
/*
 * Machine code of the shared part of a hit: one dispatcher (hit_entry.c) and one exit (hit_exit.c) per consumer list. Both run the
 * programs (hit_programs.c, hit_session.c) in a frame on the stack (frame.c) and know the thread by its row (hit_row.c); what is
 * reported at its return is a call (hit_call.c).
 */
#pragma once

#include "isa/x86_64/writer.h"
#include "patch/region.h"

struct dispatch_words { /* where the region keeps the 64-bit words that the code loads */
	const u64 *consumer; /* [n] first word of each: gate, local gate, entry, session key, counters, then the table of an
			      * inlined program */
	u64 fn_ret_slow, fn_row_slow, rows, no_row;
	u64 go_stacks;
	u64 fn_ret_deep, fn_session_open, fn_session_keep, fn_session_at, fn_session_more, fn_stats_run;
};

#define DISPATCH_CONSUMER_WORDS 5u
static inline u32 dispatch_words_of(const struct region_consumer *c)
{
	return DISPATCH_CONSUMER_WORDS + (c->inlined ? c->inlined->nwords : 0);
}

/* Words behind a slot's struct nt_slot_meta: a cookie per consumer, and the function's address for each that looks at a `ret`. */
u32 dispatch_meta_words(const struct region_shape *s);
/* Distance from a slot's code back to its struct nt_slot_meta. */
static inline u32 dispatch_meta_size(const struct region_shape *s)
{
	return (u32)sizeof(struct nt_slot_meta) + 8 * dispatch_meta_words(s);
}

bool dispatch_shape_returns(const struct region_shape *s);
bool dispatch_shape_has_sessions(const struct region_shape *s);
bool dispatch_shape_overrides(const struct region_shape *s);

/* entry: the sites are function entries (nothing below rsp is alive); else the slot has skipped the red zone. */
void dispatch_emit_entry(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			 const struct dispatch_words *words, bool entry);
struct dispatch_tail {
	u32 no_row; /* mark of the jump that comes here */
	u64 have_row; /* where to go on with rdx = row */
	u64 counted;  /* the same, behind the counting */
	u32 saved;
};

/*
 * The whole of an entry hit, for a slot that calls no dispatcher; the displaced instructions follow it. meta = run-time
 * address of its struct nt_slot_meta, thunk = return address into its thunk, 0 = no return probe. other_stack: the word
 * at rsp is the stack pointer that the function was entered with.
 */
void dispatch_emit_inline(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			  const struct dispatch_words *words, u64 meta, u64 thunk, bool other_stack,
			  struct dispatch_tail *tail);
/* The rarely needed rest of it, to be written anywhere behind: after the jump that ends the displaced instructions. */
void dispatch_emit_tail(struct x86_writer *w, const struct dispatch_words *words, const struct dispatch_tail *tail);
void dispatch_emit_exit(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			const struct dispatch_words *words);
/* Where the exit of a slot that was replaced points: on to the exit of the newer one, with its meta. */
void dispatch_emit_follow(struct x86_writer *w);

/* go_stack.c: before and behind dispatch_emit_inline(), and what comes after the displaced instructions. */
struct go_stack {
	u32 words; /* of the thread: distance from its thread pointer */
	bool keep_flags;
	u32 full, nested; /* marks */
	u64 body;
};
void go_stack_enter(struct x86_writer *w, const struct region_env *env, const struct dispatch_words *words,
		    bool keep_flags, struct go_stack *ret);
void go_stack_leave(struct x86_writer *w, struct go_stack *g);
void go_stack_tail(struct x86_writer *w, const struct go_stack *g);
