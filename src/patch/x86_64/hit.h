/* SPDX-License-Identifier: MIT */
/* The parts of which dispatchers and exits are made. Internal to src/patch/x86_64. */
#pragma once

#include "patch/x86_64/dispatch.h"
#include "patch/x86_64/frame.h"

/* --- hit_programs.c --- */

/* What one side (entry or return) of a list needs. */
struct frame_need programs_need(const struct region_shape *s, bool at_return);
/* Runs them. need.clobbers are the registers that are in the frame already. sp: entry side: as for frame_fill_site(). */
void programs_emit(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words,
		   const struct meta_ref *m, bool at_return, s32 sp, struct frame_need need);

/* --- hit_session.c --- */

/* How many sessions there are before the end-th consumer. */
u32 session_number(const struct region_shape *s, u32 end);
void session_begin(struct x86_writer *w, u32 k);
void session_decide(struct x86_writer *w, u64 key_word);
void session_find(struct x86_writer *w, const struct dispatch_words *words, u64 key_word, u32 saved);

/* --- hit_row.c --- */

void row_thread_pointer(struct x86_writer *w, const struct region_env *env, enum x86_reg dst);
/* rdx = the row, its hits one more; rax and rcx change. The way when it is not at its place is dispatch_emit_tail(). */
struct dispatch_tail row_count(struct x86_writer *w, const struct region_env *env, const struct dispatch_words *words,
			       u32 saved);

/* --- hit_override.c --- */

/* For lists that dispatch_shape_overrides(), at entries of functions: before the programs, ... */
void override_begin(struct x86_writer *w);
/* ... and after them: back to the function's caller, if a program said so. rdx stays. */
void override_leave(struct x86_writer *w, const struct dispatch_words *words, bool sessions, u32 saved);

/* --- hit_call.c --- */

/* How a function's slot goes on after the entry side. */
struct call_way {
	bool inlined;	/* no dispatcher was called: meta and thunk are known here, the body follows this code */
	s32 back;	/* else: the meta is this far before the return address into the slot */
	u64 meta, thunk;
};

/* rdx = row. Takes a struct nt_ret_entry for this call; on success the way out goes to the thunk, else to the body. */
void call_open(struct x86_writer *w, const struct dispatch_words *words, const struct dispatch_tail *hit,
	       const struct call_way *way);
/* With sessions: before the programs an entry with room for their cookies; 0 = this call will not be reported at its return ... */
void call_open_sessions(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words, u32 saved);
/* ... and after them the way out. */
void call_close_sessions(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words,
			 const struct call_way *way, u32 saved);
