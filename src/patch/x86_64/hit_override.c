/* SPDX-License-Identifier: MIT */
/*
 * bpf_override_return(). A program on the list has said what the function returns, so that is what its caller gets: the
 * return address into the slot is dropped and `ret` goes to the caller, with rax from the frame. The function has not
 * run, so there is no return of it to report, and an entry that sessions had taken is given back. This `ret` has no
 * `call`: it costs a misprediction, and lists with such programs are the only ones that pay for the question.
 */
#include "patch/x86_64/hit.h"

#define OVERRIDDEN_AT (CTX + NT_CTX_OVERRIDDEN)

bool dispatch_shape_overrides(const struct region_shape *s)
{
	for (u32 i = 0; i < s->n; i++)
		if (s->consumer[i].overrides)
			return true;
	return false;
}

void override_begin(struct x86_writer *w)
{
	x86_store_imm(w, 2, X86_RSP, OVERRIDDEN_AT, 0);
}

/* The entry and those on its `more` go back to their row, as at the end of a call (hit_exit.c). It was not in use yet. */
static void give_back(struct x86_writer *w, const struct dispatch_words *words, u32 saved)
{
	u32 none;

	x86_load(w, 8, X86_RAX, X86_RSP, (s32)offsetof(struct nt_run, entry));
	x86_test(w, true, X86_RAX, X86_RAX);
	none = x86_jcc_fwd(w, X86_CC_E);
	frame_call_begin(w, saved);
	x86_mov(w, true, X86_RDI, X86_RAX);
	x86_load(w, 8, X86_RSI, X86_RAX, (s32)offsetof(struct nt_ret_entry, row));
	frame_call_end(w, words->fn_session_more, saved);
	x86_load(w, 8, X86_RAX, X86_RSP, (s32)offsetof(struct nt_run, entry));
	x86_load(w, 8, X86_RDX, X86_RAX, (s32)offsetof(struct nt_ret_entry, row));
	x86_load(w, 8, X86_RCX, X86_RDX, (s32)offsetof(struct nt_row, free));
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, next), X86_RCX);
	x86_store(w, 8, X86_RDX, (s32)offsetof(struct nt_row, free), X86_RAX);
	x86_patch_here(w, none);
}

void override_leave(struct x86_writer *w, const struct dispatch_words *words, bool sessions, u32 saved)
{
	u32 no;

	x86_alu_mem_imm(w, X86_CMP, 2, false, X86_RSP, OVERRIDDEN_AT, 0);
	no = x86_jcc_fwd(w, X86_CC_E);
	if (sessions)
		give_back(w, words, saved);
	frame_close_flags(w);
	frame_restore(w, saved);
	x86_lea(w, X86_RSP, X86_RSP, FRAME + 8);
	x86_ret(w);
	x86_patch_here(w, no);
}
