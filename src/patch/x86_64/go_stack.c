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
 * The words are the thread's. In a Go program without C the thread pointer stands behind the word that holds g, at the
 * second of the six words of m.tls, and the runtime uses only the first of them on this system: ours are fs:0 to fs:32.
 * With C fs:0 is the C library's thread block. glibc's has room that nothing uses any more, where a dynamic linker once
 * saved vector registers (broker/link/go.c looks whether it is really that).
 *
 * A signal may come at any instruction. Before busy is stored a whole hit may pass in its handler and nothing of ours
 * is lost; after that, hits in handlers touch none of the words. The runtime's handler takes our addresses for "not Go
 * code" and neither preempts nor unwinds the goroutine there; the collector waits until it has come out.
 *
 * Flags are dead at a function's entry. Elsewhere they are not, and then busy has to be asked without changing them:
 *
 *     xchg rcx, busy          rcx = what busy was, busy = the program's rcx
 *     jrcxz idle              if it was in use: the same xchg puts both back; push flags; push rsp
 *     idle: mov rcx, 1; xchg rcx, busy
 *
 * In between busy may be 0 though we are in here, if the program's rcx is 0: a handler's hit then takes the words, which
 * hold nothing of ours yet, and leaves busy as 0. Which is the program's rcx.
 */
#include "patch/x86_64/dispatch.h"

#include "base/bits.h"

enum { RAX_AT = 0, RCX_AT = 8, RDX_AT = 16, STEPS_AT = 24, FLAGS_AT = 28, BUSY_AT = 32 }; /* STEPS_AT, FLAGS_AT: u32 */
enum { STEPS_MAX = 256, ROW_SHIFT = 6 };

/* opcode with a memory operand fs:[disp] of 8 bytes, or 4; digit: the register or the opcode's extension. */
static void fs_op_sized(struct x86_writer *w, const struct go_stack *g, bool w64, u8 opcode, u32 digit, u32 at)
{
	x86_byte(w, 0x64);
	x86_byte(w, (u8)(0x40 | w64 << 3 | (digit & 8) >> 1));
	x86_byte(w, opcode);
	x86_byte(w, (u8)((digit & 7) << 3 | 4));
	x86_byte(w, 0x25);
	x86_u32(w, g->words + at);
}

static void fs_op(struct x86_writer *w, const struct go_stack *g, u8 opcode, u32 digit, u32 at)
{
	fs_op_sized(w, g, true, opcode, digit, at);
}

static void fs_store(struct x86_writer *w, const struct go_stack *g, u32 at, enum x86_reg r)
{
	fs_op(w, g, 0x89, r, at);
}

static void fs_load(struct x86_writer *w, const struct go_stack *g, enum x86_reg r, u32 at)
{
	fs_op(w, g, 0x8b, r, at);
}

static void fs_xchg(struct x86_writer *w, const struct go_stack *g, u32 at, enum x86_reg r)
{
	fs_op(w, g, 0x87, r, at);
}

static void fs_clear_busy(struct x86_writer *w, const struct go_stack *g)
{
	fs_op(w, g, 0xc7, 0, BUSY_AT);
	x86_u32(w, 0);
}

static void load_scratch(struct x86_writer *w, const struct go_stack *g)
{
	fs_load(w, g, X86_RAX, RAX_AT);
	fs_load(w, g, X86_RCX, RCX_AT);
	fs_load(w, g, X86_RDX, RDX_AT);
}

/* rdx = the row of the thread pointer in rcx, made if it has none (payload/row.c does the same where there is a stack);
 * returns the mark of the jump when the table is full. */
static u32 find_row(struct x86_writer *w, const struct region_env *env, const struct dispatch_words *words,
		    const struct go_stack *g)
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
	fs_op_sized(w, g, false, 0xff, 1, STEPS_AT); /* dec */
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

/* What is on the stack of a slot that keeps flags, above the word that every slot has: the stack pointer that was found. */
enum { KEPT_AT = 8, KEPT_FLAGS_AT = KEPT_AT + FLAGS_AT - STEPS_AT };

/* A mark: busy already. The flags are as they were. */
static u32 ask_keeping_flags(struct x86_writer *w, const struct go_stack *g)
{
	u32 idle, busy;

	fs_xchg(w, g, BUSY_AT, X86_RCX);
	x86_byte(w, 0xe3); /* jrcxz */
	x86_byte(w, 0);
	idle = w->len;
	fs_xchg(w, g, BUSY_AT, X86_RCX);
	busy = x86_jmp_fwd(w);
	if (w->buf && !w->error)
		w->buf[idle - 1] = (u8)(w->len - idle);
	x86_byte(w, 0xb9); /* mov ecx, 1 */
	x86_u32(w, 1);
	fs_xchg(w, g, BUSY_AT, X86_RCX);
	return busy;
}

/* On a signal's stack: flags and stack pointer where they are on ours. */
static void push_nested(struct x86_writer *w, const struct go_stack *g)
{
	if (!g->keep_flags) {
		x86_push(w, X86_RSP);
		return;
	}
	x86_lea(w, X86_RSP, X86_RSP, -16);
	x86_push(w, X86_RAX);
	x86_lea(w, X86_RAX, X86_RSP, 24);
	x86_store(w, 8, X86_RSP, 8, X86_RAX);
	x86_flags_to_ax(w);
	x86_store(w, 4, X86_RSP, 8 + KEPT_FLAGS_AT, X86_RAX);
	x86_pop(w, X86_RAX);
}

void go_stack_enter(struct x86_writer *w, const struct region_env *env, const struct dispatch_words *words,
		    bool keep_flags, struct go_stack *ret)
{
	struct go_stack *g = ret;
	u32 busy, ready;

	*g = (struct go_stack){ .words = env->go_words, .keep_flags = keep_flags };
	if (keep_flags) {
		busy = ask_keeping_flags(w, g);
	} else {
		fs_op(w, g, 0x83, X86_CMP, BUSY_AT);
		x86_byte(w, 0);
		busy = x86_jcc_fwd(w, X86_CC_NE);
	}
	fs_store(w, g, BUSY_AT, X86_RSP);
	fs_store(w, g, RAX_AT, X86_RAX);
	fs_store(w, g, RCX_AT, X86_RCX);
	fs_store(w, g, RDX_AT, X86_RDX);
	if (keep_flags) {
		x86_flags_to_ax(w);
		fs_op_sized(w, g, false, 0x89, X86_RAX, FLAGS_AT);
	}
	fs_op_sized(w, g, false, 0xc7, 0, STEPS_AT);
	x86_u32(w, STEPS_MAX);
	x86_rdfsbase(w, X86_RCX);
	g->full = find_row(w, env, words, g);
	x86_alu_rip(w, X86_SUB, X86_RDX, words->rows);
	x86_shift_imm(w, X86_SHL, true, X86_RDX, REGION_GO_STACK_SHIFT - ROW_SHIFT);
	x86_alu_rip(w, X86_ADD, X86_RDX, words->go_stacks);
	x86_lea(w, X86_RSP, X86_RDX, 1 << REGION_GO_STACK_SHIFT);
	if (keep_flags)
		fs_op(w, g, 0xff, 6, STEPS_AT); /* push */
	fs_op(w, g, 0xff, 6, BUSY_AT);
	load_scratch(w, g);
	ready = x86_jmp_fwd(w);
	x86_patch_here(w, busy);
	push_nested(w, g);
	x86_patch_here(w, ready);
}

void go_stack_leave(struct x86_writer *w, struct go_stack *g)
{
	u32 nested;

	if (!g->keep_flags) {
		x86_pop(w, X86_RSP);
		fs_op(w, g, 0x39, X86_RSP, BUSY_AT); /* cmp */
		nested = x86_jcc_fwd(w, X86_CC_NE);
		fs_clear_busy(w, g);
		x86_patch_here(w, nested);
		g->body = x86_here(w);
		return;
	}
	x86_push(w, X86_RAX);
	x86_load(w, 8, X86_RAX, X86_RSP, 8);
	fs_op(w, g, 0x39, X86_RAX, BUSY_AT);
	nested = x86_jcc_fwd(w, X86_CC_NE);
	x86_load(w, 4, X86_RAX, X86_RSP, 8 + KEPT_FLAGS_AT);
	x86_flags_from_ax(w);
	x86_pop(w, X86_RAX);
	x86_pop(w, X86_RSP);
	fs_clear_busy(w, g);
	g->body = x86_here(w);
	g->nested = nested;
}

void go_stack_tail(struct x86_writer *w, const struct go_stack *g)
{
	if (g->keep_flags) {
		x86_patch_here(w, g->nested);
		x86_load(w, 4, X86_RAX, X86_RSP, 8 + KEPT_FLAGS_AT);
		x86_flags_from_ax(w);
		x86_pop(w, X86_RAX);
		x86_pop(w, X86_RSP);
		x86_jmp(w, g->body);
	}
	x86_patch_here(w, g->full);
	if (g->keep_flags) {
		fs_op_sized(w, g, false, 0x8b, X86_RAX, FLAGS_AT);
		x86_flags_from_ax(w);
	}
	load_scratch(w, g);
	fs_clear_busy(w, g);
	x86_jmp(w, g->body);
}
