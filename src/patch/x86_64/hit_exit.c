/* SPDX-License-Identifier: MIT */
/*
 * Exit. The body has returned into the thunk, which jumps here: rbx is the call's struct nt_ret_entry. Push the real
 * return address, run the programs, free the entry (the caller's rbx is read before the entry is published), `ret`. The
 * thunk jumps through meta.exit: when the site's list has changed since the call began it leads to the exit of the list as
 * it is now.
 */
#include "patch/x86_64/hit.h"

#include "abi/bpf.h"

void dispatch_emit_exit(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			const struct dispatch_words *words)
{
	struct meta_ref m = { .from = META_FROM_ENTRY };
	struct frame_need n = programs_need(s, true);
	u32 no_row, lost, more;
	u64 have_row, no_more;

	n.clobbers |= 1u << X86_RCX | 1u << X86_RDX;
	x86_push_mem(w, X86_RBX, (s32)offsetof(struct nt_ret_entry, ra));
	frame_open(w, n, 1u << X86_RBX);
	if (n.ctx & 1ull << NT_RIP) {
		x86_load(w, 8, X86_RAX, X86_RBX, (s32)offsetof(struct nt_ret_entry, ra));
		frame_store_word(w, REG(NT_RIP), X86_RAX);
	}
	if (n.ctx & 1ull << NT_RSP) {
		x86_lea(w, X86_RAX, X86_RSP, FRAME + 8);
		frame_store_word(w, REG(NT_RSP), X86_RAX);
	}
	if (n.ctx & 1ull << NT_RBX) {
		x86_load(w, 8, X86_RAX, X86_RBX, (s32)offsetof(struct nt_ret_entry, rbx));
		frame_store_word(w, REG(NT_RBX), X86_RAX);
	}
	x86_store_imm(w, 8, X86_RSP, (s32)offsetof(struct nt_run, is_return), 1);
	programs_emit(w, s, words, &m, true, 0, n);

	/* Usually the row that it came from is this thread's; only a coroutine can return in another thread. */
	row_thread_pointer(w, env, X86_RCX);
	x86_load(w, 8, X86_RDX, X86_RBX, (s32)offsetof(struct nt_ret_entry, row));
	x86_alu_mem(w, X86_CMP, 8, false, X86_RDX, (s32)offsetof(struct nt_row, fs), X86_RCX);
	no_row = x86_jcc_fwd(w, X86_CC_NE);
	x86_load(w, 8, X86_RAX, X86_RBX, (s32)offsetof(struct nt_ret_entry, next));
	x86_store(w, 8, X86_RDX, (s32)offsetof(struct nt_row, top), X86_RAX);
	x86_alu_mem_imm(w, X86_SUB, 4, false, X86_RDX, (s32)offsetof(struct nt_row, depth), 1);
	have_row = x86_here(w);
	x86_alu_mem_imm(w, X86_CMP, 8, false, X86_RBX, (s32)offsetof(struct nt_ret_entry, more), 0);
	more = x86_jcc_fwd(w, X86_CC_NE);
	no_more = x86_here(w);
	x86_store_imm(w, 8, X86_RBX, (s32)offsetof(struct nt_ret_entry, in_use), 0);
	x86_load(w, 8, X86_RAX, X86_RDX, (s32)offsetof(struct nt_row, free));
	x86_store(w, 8, X86_RBX, (s32)offsetof(struct nt_ret_entry, next), X86_RAX);
	x86_mov(w, true, X86_RCX, X86_RBX);
	x86_load(w, 8, X86_RBX, X86_RBX, (s32)offsetof(struct nt_ret_entry, rbx));
	x86_store(w, 8, X86_RDX, (s32)offsetof(struct nt_row, free), X86_RCX);
	frame_close_flags(w);
	frame_restore(w, n.clobbers);
	x86_lea(w, X86_RSP, X86_RSP, FRAME);
	x86_ret(w);

	x86_patch_here(w, more);
	frame_store_word(w, (s32)offsetof(struct nt_run, entry), X86_RDX);
	frame_call_begin(w, n.clobbers);
	x86_mov(w, true, X86_RDI, X86_RBX);
	x86_mov(w, true, X86_RSI, X86_RDX);
	frame_call_end(w, words->fn_session_more, n.clobbers);
	x86_load(w, 8, X86_RDX, X86_RSP, (s32)offsetof(struct nt_run, entry));
	x86_jmp(w, no_more);

	x86_patch_here(w, no_row);
	frame_call(w, words->fn_row_slow, n.clobbers);
	x86_mov(w, true, X86_RDX, X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
	lost = x86_jcc_fwd(w, X86_CC_E);
	x86_jmp(w, have_row);
	/* A thread without a row cannot take the entry back: it stays out of the list (found by the reaper). */
	x86_patch_here(w, lost);
	x86_mov(w, true, X86_RCX, X86_RBX);
	x86_load(w, 8, X86_RBX, X86_RBX, (s32)offsetof(struct nt_ret_entry, rbx));
	x86_store_imm(w, 8, X86_RCX, (s32)offsetof(struct nt_ret_entry, thunk), 0);
	frame_close_flags(w);
	frame_restore(w, n.clobbers);
	x86_lea(w, X86_RSP, X86_RSP, FRAME);
	x86_ret(w);
}

/* The function has returned, so the red zone is free, but for the word that the call had (payload/ret.c). */
void dispatch_emit_follow(struct x86_writer *w)
{
	x86_store(w, 8, X86_RSP, -16, X86_RAX);
	x86_load(w, 8, X86_RAX, X86_RBX, (s32)offsetof(struct nt_ret_entry, slot));
	x86_load(w, 8, X86_RAX, X86_RAX, (s32)offsetof(struct nt_slot_meta, newer));
	x86_store(w, 8, X86_RBX, (s32)offsetof(struct nt_ret_entry, slot), X86_RAX);
	x86_load(w, 8, X86_RAX, X86_RAX, (s32)offsetof(struct nt_slot_meta, exit));
	x86_store(w, 8, X86_RSP, -24, X86_RAX);
	x86_load(w, 8, X86_RAX, X86_RSP, -16);
	x86_op_mem(w, false, (const u8[]){ 0xff }, 1, 4, X86_RSP, -24); /* jmp [rsp - 24] */
}
