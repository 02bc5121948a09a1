/* SPDX-License-Identifier: MIT */
/*
 * Entry. The slot calls the dispatcher, so the processor's return stack stays balanced:
 *
 *     [rsp + 8]  return address of the probed function (function entries)
 *     [rsp]      return address into the slot: the slot's meta lies a fixed distance before it
 *
 * The dispatcher makes a frame of struct nt_run and struct pt_regs below that, saves in place what the programs can
 * change (a register saved is a register of ctx filled), runs the programs whose gates are open, restores, returns.
 * Nothing else is touched: no vector register (programs and helpers have none), no flag (lahf/seto; popfq would cost
 * more than all the rest), nothing above the frame.
 *
 * A slot with everything in it does the same without a dispatcher.
 */
#include "patch/x86_64/hit.h"

#define SLOT_CALL_LEN 5 /* call rel32: the return address is this far behind the slot's start ... */
#define RED_ZONE_SKIP_LEN 5 /* ... plus lea rsp, [rsp - 128] in front of it in the middle of a function */
#define RED_ZONE 128

void dispatch_emit_inline(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			  const struct dispatch_words *words, u64 meta, u64 thunk, bool other_stack,
			  struct dispatch_tail *tail)
{
	struct call_way way = { .inlined = true, .meta = meta, .thunk = thunk };
	struct meta_ref m = { .from = META_AT, .addr = meta };
	struct frame_need n = programs_need(s, false);

	n.clobbers |= 1u << X86_RCX | 1u << X86_RDX;
	if (thunk) /* the word where a dispatcher has its return address: the payload counts on one layout */
		x86_lea(w, X86_RSP, X86_RSP, -8);
	frame_open(w, n, 0);
	programs_emit(w, s, words, &m, false, other_stack ? FRAME_SP_ON_STACK : FRAME + (thunk ? 8 : 0), n);
	*tail = row_count(w, env, words, n.clobbers);
	if (thunk) {
		call_open(w, words, tail, &way);
		return;
	}
	frame_close_flags(w);
	frame_restore(w, n.clobbers);
	x86_lea(w, X86_RSP, X86_RSP, FRAME);
}

void dispatch_emit_entry(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			 const struct dispatch_words *words, bool entry)
{
	bool returns = entry && dispatch_shape_returns(s), sessions = entry && dispatch_shape_has_sessions(s);
	bool overrides = entry && dispatch_shape_overrides(s);
	s32 back = (s32)dispatch_meta_size(s) + SLOT_CALL_LEN + (entry ? 0 : RED_ZONE_SKIP_LEN);
	struct meta_ref m = { .from = META_FROM_SLOT, .back = back };
	struct frame_need n = programs_need(s, false);
	struct dispatch_tail tail;

	n.clobbers |= 1u << X86_RCX | 1u << X86_RDX;
	frame_open(w, n, 0);
	if (overrides)
		override_begin(w);
	if (sessions) {
		tail = row_count(w, env, words, n.clobbers);
		call_open_sessions(w, s, words, n.clobbers);
	}
	programs_emit(w, s, words, &m, false, FRAME + 8 + (entry ? 0 : RED_ZONE), n);
	if (!sessions)
		tail = row_count(w, env, words, n.clobbers);
	if (overrides)
		override_leave(w, words, sessions, n.clobbers);
	if (sessions) {
		call_close_sessions(w, s, words, &(struct call_way){ .back = back }, n.clobbers);
	} else if (returns) {
		call_open(w, words, &tail, &(struct call_way){ .back = back });
	} else {
		frame_close_flags(w);
		frame_restore(w, n.clobbers);
		x86_lea(w, X86_RSP, X86_RSP, FRAME);
		x86_ret(w);
	}
	dispatch_emit_tail(w, words, &tail);
}
