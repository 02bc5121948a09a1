/* SPDX-License-Identifier: MIT */
/*
 * Sessions run on both sides of a call. A list that has some takes the call's struct nt_ret_entry before the programs run
 * (hit_call.c), because the cookies are in it, and gives it back when in the end nobody wants the return
 * (payload/session.c).
 */
#include "patch/x86_64/hit.h"

u32 session_number(const struct region_shape *s, u32 end)
{
	u32 n = 0;

	for (u32 i = 0; i < end; i++)
		n += s->consumer[i].session;
	return n;
}

/* Entry side: the k-th session's cookie is in the call's entry, or in the frame if the call has none. */
void session_begin(struct x86_writer *w, u32 k)
{
	u32 none, have;

	x86_load(w, 8, X86_RAX, X86_RSP, (s32)offsetof(struct nt_run, entry));
	x86_test(w, true, X86_RAX, X86_RAX);
	none = x86_jcc_fwd(w, X86_CC_E);
	for (u32 i = 0; i < k / NT_ENTRY_SESSIONS; i++)
		x86_load(w, 8, X86_RAX, X86_RAX, (s32)offsetof(struct nt_ret_entry, more));
	x86_lea(w, X86_RAX, X86_RAX, (s32)offsetof(struct nt_ret_entry, session[k % NT_ENTRY_SESSIONS].cookie));
	have = x86_jmp_fwd(w);
	x86_patch_here(w, none);
	x86_store_imm(w, 8, X86_RSP, (s32)offsetof(struct nt_run, none.cookie), 0);
	x86_lea(w, X86_RAX, X86_RSP, (s32)offsetof(struct nt_run, none.cookie));
	x86_patch_here(w, have);
	frame_store_word(w, (s32)offsetof(struct nt_run, session), X86_RAX);
}

/* Entry side: it returned 0, so it wants the return. */
void session_decide(struct x86_writer *w, u64 key_word)
{
	u32 no;

	x86_test(w, false, X86_RAX, X86_RAX);
	no = x86_jcc_fwd(w, X86_CC_NE);
	x86_load(w, 8, X86_RCX, X86_RSP, (s32)offsetof(struct nt_run, session));
	x86_load_rip(w, X86_RAX, key_word);
	x86_store(w, 8, X86_RCX, -8, X86_RAX);
	x86_patch_here(w, no);
	_Static_assert(offsetof(struct nt_session, cookie) == offsetof(struct nt_session, key) + 8, "");
}

/* Return side: rax = the cookie of this call, 0 if it does not want the return. */
void session_find(struct x86_writer *w, const struct dispatch_words *words, u64 key_word, u32 saved)
{
	frame_call_begin(w, saved);
	x86_mov(w, true, X86_RDI, X86_RBX);
	x86_load_rip(w, X86_RSI, key_word);
	frame_call_end(w, words->fn_session_at, saved);
	frame_store_word(w, (s32)offsetof(struct nt_run, session), X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
}
