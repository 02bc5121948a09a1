/* SPDX-License-Identifier: MIT */
/*
 * The thread's row in the process's table: where hits are counted, and where its list of pending returns begins. Found by a
 * hash of the thread pointer; what is not at its place is looked for by the payload (payload/row.c), off the usual way.
 */
#include "patch/x86_64/hit.h"

void row_thread_pointer(struct x86_writer *w, const struct region_env *env, enum x86_reg dst)
{
	if (env->fs0)
		x86_load_fs(w, dst, 0);
	else
		x86_rdfsbase(w, dst);
}

/* rdx = this thread's row, else falls to the slow path; clobbers rax, rcx, rdx. Returns the mark of the mismatch. */
static u32 find_row(struct x86_writer *w, const struct region_env *env, const struct dispatch_words *words)
{
	row_thread_pointer(w, env, X86_RCX);
	x86_mov_imm(w, X86_RDX, NT_ROW_HASH_MUL);
	x86_imul(w, true, X86_RDX, X86_RCX);
	x86_shift_imm(w, X86_SHR, true, X86_RDX, (u8)(64 - env->row_bits));
	x86_shift_imm(w, X86_SHL, true, X86_RDX, 6);
	x86_load_rip(w, X86_RAX, words->rows);
	x86_alu(w, X86_ADD, true, X86_RDX, X86_RAX);
	x86_alu_mem(w, X86_CMP, 8, false, X86_RDX, (s32)offsetof(struct nt_row, fs), X86_RCX);
	return x86_jcc_fwd(w, X86_CC_NE);
}

/* rdx = the row, its hits one more. What is missing, the way when the row is not where it should be, is the tail. */
struct dispatch_tail row_count(struct x86_writer *w, const struct region_env *env, const struct dispatch_words *words,
			       u32 saved)
{
	struct dispatch_tail tail = { .saved = saved };

	tail.no_row = find_row(w, env, words);
	tail.have_row = x86_here(w);
	x86_alu_mem_imm(w, X86_ADD, 8, false, X86_RDX, (s32)offsetof(struct nt_row, hits), 1);
	tail.counted = x86_here(w);
	return tail;
}

/* Another thread's row stands where ours hashes to, or there is none yet. In a process with more threads than rows one
 * row is nobody's: it is never matched, has no free entry, and counts for all who have none. */
void dispatch_emit_tail(struct x86_writer *w, const struct dispatch_words *words, const struct dispatch_tail *tail)
{
	u32 found;

	x86_patch_here(w, tail->no_row);
	frame_call(w, words->fn_row_slow, tail->saved);
	x86_mov(w, true, X86_RDX, X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
	found = x86_jcc_fwd(w, X86_CC_NE);
	x86_load_rip(w, X86_RDX, words->no_row);
	x86_patch_here(w, found);
	x86_jmp(w, tail->have_row);
}
