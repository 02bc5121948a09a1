/* SPDX-License-Identifier: MIT */
/*
 * Entry of a function that is also reported at its return. After the programs, a struct nt_ret_entry is taken from the
 * thread's free list; it keeps the real return address and the caller's rbx, and rbx points to it while the body runs.
 * The slot's return address moves up into the place of the real one and `ret` pops it: the stack is now as before the
 * call of the function, and the thunk `call`s the body. So every ret has its call: return-stack prediction and shadow
 * stacks hold. When there is no entry to be had it goes on at the body instead, and this call is not reported.
 *
 * A signal may arrive at any instruction and its handler may hit probes itself, also on this thread's free list: pops
 * and pushes nest, so the list is as it was when the handler returns.
 */
#include "patch/x86_64/hit.h"

#define MAX_DEPTH 64 /* payload/depth.c */
#define THUNK_CALL_LEN 5 /* a thunk's return address is this far behind its start */

/* Fills the entry in rax; clobbers rcx; rdx is the row. in_use last: who sees it sees all of it (payload/ret.c). */
static void fill_entry(struct x86_writer *w, const struct call_way *way)
{
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, row), X86_RDX);
	x86_load(w, 8, X86_RCX, X86_RSP, FRAME + 8);
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, ra), X86_RCX);
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, rbx), X86_RBX);
	x86_lea(w, X86_RCX, X86_RSP, FRAME + 8);
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, sp), X86_RCX);
	if (way->inlined) {
		x86_lea_rip(w, X86_RCX, way->meta);
		x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, slot), X86_RCX);
		x86_lea_rip(w, X86_RCX, way->thunk);
	} else {
		x86_load(w, 8, X86_RCX, X86_RSP, FRAME);
		x86_store(w, 8, X86_RSP, FRAME + 8, X86_RCX);
		x86_lea(w, X86_RCX, X86_RCX, -way->back);
		x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, slot), X86_RCX);
		x86_load(w, 8, X86_RCX, X86_RCX, (s32)offsetof(struct nt_slot_meta, thunk));
	}
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, thunk), X86_RCX);
	x86_load(w, 8, X86_RCX, X86_RDX, (s32)offsetof(struct nt_row, top));
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, next), X86_RCX);
	x86_store(w, 8, X86_RDX, (s32)offsetof(struct nt_row, top), X86_RAX);
	x86_alu_mem_imm(w, X86_ADD, 4, false, X86_RDX, (s32)offsetof(struct nt_row, depth), 1);
	x86_load(w, 8, X86_RCX, X86_RDX, (s32)offsetof(struct nt_row, hits));
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, in_use), X86_RCX);
	x86_mov(w, true, X86_RBX, X86_RAX);
}

/* Out of the frame, the return address of the probed function included, and to the thunk. */
static void leave_to_thunk(struct x86_writer *w, const struct call_way *way, u32 restore)
{
	frame_close_flags(w);
	frame_restore(w, restore);
	if (way->inlined) {
		x86_lea(w, X86_RSP, X86_RSP, FRAME + 16);
		x86_jmp(w, way->thunk - THUNK_CALL_LEN);
	} else {
		x86_lea(w, X86_RSP, X86_RSP, FRAME + 8);
		x86_ret(w);
	}
}

/* No entry for this call: to the body, as if only entries were probed. */
static void leave_to_body(struct x86_writer *w, const struct call_way *way, u32 restore)
{
	if (!way->inlined) {
		x86_load(w, 8, X86_RAX, X86_RSP, FRAME);
		x86_load(w, 8, X86_RAX, X86_RAX, (s32)offsetof(struct nt_slot_meta, body) - way->back);
		x86_store(w, 8, X86_RSP, FRAME, X86_RAX);
	}
	frame_close_flags(w);
	frame_restore(w, restore);
	x86_lea(w, X86_RSP, X86_RSP, FRAME + (way->inlined ? 8 : 0));
	if (!way->inlined)
		x86_ret(w);
}

struct depth_check {
	u32 doubtful, deep; /* marks of the jumps to the slow way */
	u64 allowed;	    /* where it comes back to, with rdx = row */
};

/* May this thread have one more call that is reported at its return? (payload/depth.c) rdx = row; clobbers rcx. */
static struct depth_check check_depth(struct x86_writer *w)
{
	struct depth_check d;
	u32 none;

	x86_load(w, 8, X86_RCX, X86_RDX, (s32)offsetof(struct nt_row, top));
	x86_test(w, true, X86_RCX, X86_RCX);
	none = x86_jcc_fwd(w, X86_CC_E);
	x86_load(w, 8, X86_RCX, X86_RCX, (s32)offsetof(struct nt_ret_entry, sp));
	x86_alu(w, X86_SUB, true, X86_RCX, X86_RSP);
	x86_alu_imm(w, X86_CMP, true, X86_RCX, FRAME + 8); /* the distance of this call's word */
	d.doubtful = x86_jcc_fwd(w, X86_CC_LE);
	x86_patch_here(w, none);
	x86_alu_mem_imm(w, X86_CMP, 4, false, X86_RDX, (s32)offsetof(struct nt_row, depth), MAX_DEPTH);
	d.deep = x86_jcc_fwd(w, X86_CC_AE);
	d.allowed = x86_here(w);
	return d;
}

/* rdx = row. Takes a struct nt_ret_entry for this call; on success the way out goes to the thunk, else to the body. */
void call_open(struct x86_writer *w, const struct dispatch_words *words, const struct dispatch_tail *hit,
	       const struct call_way *way)
{
	struct depth_check d = check_depth(w);
	u32 no_free, no_memory, no_row, refused, saved = hit->saved;

	x86_load(w, 8, X86_RAX, X86_RDX, (s32)offsetof(struct nt_row, free));
	x86_test(w, true, X86_RAX, X86_RAX);
	no_free = x86_jcc_fwd(w, X86_CC_E);
	x86_load(w, 8, X86_RCX, X86_RAX, (s32)offsetof(struct nt_ret_entry, next));
	x86_store(w, 8, X86_RDX, (s32)offsetof(struct nt_row, free), X86_RCX);
	fill_entry(w, way);
	leave_to_thunk(w, way, saved);

	/* The free list is empty: the payload refills it (rax != 0), or there is no memory left for this call. */
	x86_patch_here(w, no_free);
	frame_call_word(w, words->fn_ret_slow, saved);
	x86_test(w, true, X86_RAX, X86_RAX);
	no_memory = x86_jcc_fwd(w, X86_CC_E);
	frame_call(w, words->fn_row_slow, saved);
	x86_mov(w, true, X86_RDX, X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
	no_row = x86_jcc_fwd(w, X86_CC_E);
	x86_jmp(w, d.allowed);

	x86_patch_here(w, d.doubtful);
	x86_patch_here(w, d.deep);
	frame_call_word(w, words->fn_ret_deep, saved);
	x86_mov(w, true, X86_RDX, X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
	refused = x86_jcc_fwd(w, X86_CC_E);
	x86_jmp(w, d.allowed);

	x86_patch_here(w, no_memory);
	x86_patch_here(w, no_row);
	x86_patch_here(w, refused);
	leave_to_body(w, way, saved);
}

/* Before the programs: an entry with room for the sessions' cookies; 0 = this call will not be reported at its return. */
void call_open_sessions(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words, u32 saved)
{
	frame_call_begin(w, saved);
	x86_lea(w, X86_RDI, X86_RSP, FRAME + 8);
	x86_mov_imm(w, X86_RSI, session_number(s, s->n));
	frame_call_end(w, words->fn_session_open, saved);
	frame_store_word(w, (s32)offsetof(struct nt_run, entry), X86_RAX);
	x86_store_imm(w, 8, X86_RSP, (s32)offsetof(struct nt_run, is_return), 0);
}

/* After the programs. */
void call_close_sessions(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words,
			 const struct call_way *way, u32 saved)
{
	bool anyway = false; /* somebody else wants the return */
	u32 none, unwanted = 0;

	for (u32 i = 0; i < s->n; i++)
		anyway |= s->consumer[i].at_return;
	x86_load(w, 8, X86_RAX, X86_RSP, (s32)offsetof(struct nt_run, entry));
	x86_test(w, true, X86_RAX, X86_RAX);
	none = x86_jcc_fwd(w, X86_CC_E);
	if (!anyway) {
		frame_call_begin(w, saved);
		x86_mov(w, true, X86_RDI, X86_RAX);
		frame_call_end(w, words->fn_session_keep, saved);
		x86_test(w, true, X86_RAX, X86_RAX);
		unwanted = x86_jcc_fwd(w, X86_CC_E);
	}
	x86_load(w, 8, X86_RDX, X86_RAX, (s32)offsetof(struct nt_ret_entry, row));
	fill_entry(w, way);
	leave_to_thunk(w, way, saved);
	x86_patch_here(w, none);
	if (!anyway)
		x86_patch_here(w, unwanted);
	leave_to_body(w, way, saved);
}
