/* SPDX-License-Identifier: MIT */
/*
 * A hit in Go code. A goroutine's stack is small, and how much of it is left at a function's entry is known to the linker
 * to the last byte: not one word of it may be used. So the slot switches to a stack of the thread's own before anything
 * else, and there the usual code runs:
 *
 *     busy?  ------------------------------------------------------------+
 *     busy = rsp; rax, rcx, rdx to the thread's words                    | a signal came while this thread was in a
 *     find the thread's row, or take a free one; its number is           | slot: its handler runs on a stack made
 *     the stack's; rsp = end of that stack                               | for signals, which has room
 *     push busy; rax, rcx, rdx back                            push rsp <+
 *     [dispatch_emit_inline(): programs run; the stack found is the word under its frame]
 *     pop rsp; if that was busy: busy = 0
 *     [displaced instructions]
 *
 * The words are the thread's: at fs:0 to fs:32. In a Go program without C the thread pointer stands behind the word that
 * holds g, at the second of the six words of m.tls, and the runtime uses only the first of them on this system. (With C
 * fs:0 is the C library's: such programs are refused, by their interpreter and again by that word.)
 *
 * A signal may come at any instruction. Before busy is stored a whole hit may pass in its handler and nothing of ours
 * is lost; after that, hits in handlers touch none of the words. The runtime's handler takes our addresses for "not Go
 * code" and neither preempts nor unwinds the goroutine there; the collector waits until it has come out.
 *
 * Flags are not kept: they are dead at a function's entry.
 */
#include "patch/x86_64/dispatch.h"

#include "base/bits.h"

enum { RAX_AT = 0, RCX_AT = 8, RDX_AT = 16, STEPS_AT = 24, BUSY_AT = 32 };
enum { STEPS_MAX = 256, ROW_SHIFT = 6 };

/* opcode with a memory operand fs:[disp]; digit: the register or the opcode's extension. */
static void fs_op(struct x86_writer *w, u8 opcode, u32 digit, u32 disp)
{
	x86_byte(w, 0x64);
	x86_byte(w, 0x48 | (digit & 8) >> 1);
	x86_byte(w, opcode);
	x86_byte(w, (u8)((digit & 7) << 3 | 4));
	x86_byte(w, 0x25);
	x86_u32(w, disp);
}

static void fs_store(struct x86_writer *w, u32 at, enum x86_reg r)
{
	fs_op(w, 0x89, r, at);
}

static void fs_load(struct x86_writer *w, enum x86_reg r, u32 at)
{
	fs_op(w, 0x8b, r, at);
}

static void fs_store_imm(struct x86_writer *w, u32 at, u32 v)
{
	fs_op(w, 0xc7, 0, at);
	x86_u32(w, v);
}

static void load_scratch(struct x86_writer *w)
{
	fs_load(w, X86_RAX, RAX_AT);
	fs_load(w, X86_RCX, RCX_AT);
	fs_load(w, X86_RDX, RDX_AT);
}

/* rdx = the row of the thread pointer in rcx, made if it has none (payload/row.c does the same where there is a stack);
 * returns the mark of the jump when the table is full. */
static u32 find_row(struct x86_writer *w, const struct region_env *env, const struct dispatch_words *words)
{
	u32 mine, taken, made, raced, full, in_table, wrap;
	u64 loop;

	x86_mov_imm(w, X86_RDX, NT_ROW_HASH_MUL);
	x86_imul(w, true, X86_RDX, X86_RCX);
	x86_shift_imm(w, X86_SHR, true, X86_RDX, (u8)(64 - env->row_bits));
	x86_shift_imm(w, X86_SHL, true, X86_RDX, ROW_SHIFT);
	x86_alu_rip(w, X86_ADD, X86_RDX, words->rows);
	loop = x86_here(w);
	x86_load(w, 8, X86_RAX, X86_RDX, (s32)offsetof(struct nt_row, fs));
	x86_alu(w, X86_CMP, true, X86_RAX, X86_RCX);
	mine = x86_jcc_fwd(w, X86_CC_E);
	x86_test(w, true, X86_RAX, X86_RAX);
	taken = x86_jcc_fwd(w, X86_CC_NE);
	x86_cmpxchg(w, 8, X86_RDX, (s32)offsetof(struct nt_row, fs), X86_RCX);
	made = x86_jcc_fwd(w, X86_CC_E);
	x86_alu(w, X86_CMP, true, X86_RAX, X86_RCX);
	raced = x86_jcc_fwd(w, X86_CC_E);
	x86_patch_here(w, taken);
	fs_op(w, 0xff, 1, STEPS_AT); /* dec */
	full = x86_jcc_fwd(w, X86_CC_S);
	x86_alu_imm(w, X86_ADD, true, X86_RDX, (s32)sizeof(struct nt_row));
	x86_alu_rip(w, X86_CMP, X86_RDX, words->no_row);
	in_table = x86_jcc_fwd(w, X86_CC_B);
	x86_load_rip(w, X86_RDX, words->rows);
	wrap = x86_jmp_fwd(w);
	x86_patch_here(w, in_table);
	x86_patch_here(w, wrap);
	x86_jmp(w, loop);
	x86_patch_here(w, mine);
	x86_patch_here(w, made);
	x86_patch_here(w, raced);
	return full;
}

void go_stack_enter(struct x86_writer *w, const struct region_env *env, const struct dispatch_words *words,
		    struct go_stack *ret)
{
	u32 busy, ready;

	fs_op(w, 0x83, X86_CMP, BUSY_AT);
	x86_byte(w, 0);
	busy = x86_jcc_fwd(w, X86_CC_NE);
	fs_store(w, BUSY_AT, X86_RSP);
	fs_store(w, RAX_AT, X86_RAX);
	fs_store(w, RCX_AT, X86_RCX);
	fs_store(w, RDX_AT, X86_RDX);
	fs_store_imm(w, STEPS_AT, STEPS_MAX);
	x86_rdfsbase(w, X86_RCX);
	ret->full = find_row(w, env, words);
	x86_alu_rip(w, X86_SUB, X86_RDX, words->rows);
	x86_shift_imm(w, X86_SHL, true, X86_RDX, REGION_GO_STACK_SHIFT - ROW_SHIFT);
	x86_alu_rip(w, X86_ADD, X86_RDX, words->go_stacks);
	x86_lea(w, X86_RSP, X86_RDX, 1 << REGION_GO_STACK_SHIFT);
	fs_op(w, 0xff, 6, BUSY_AT); /* push */
	load_scratch(w);
	ready = x86_jmp_fwd(w);
	x86_patch_here(w, busy);
	x86_push(w, X86_RSP);
	x86_patch_here(w, ready);
}

void go_stack_leave(struct x86_writer *w, struct go_stack *g)
{
	u32 nested;

	x86_pop(w, X86_RSP);
	fs_op(w, 0x39, X86_RSP, BUSY_AT); /* cmp */
	nested = x86_jcc_fwd(w, X86_CC_NE);
	fs_store_imm(w, BUSY_AT, 0);
	x86_patch_here(w, nested);
	g->body = x86_here(w);
}

void go_stack_tail(struct x86_writer *w, const struct go_stack *g)
{
	x86_patch_here(w, g->full);
	load_scratch(w);
	fs_store_imm(w, BUSY_AT, 0);
	x86_jmp(w, g->body);
}
