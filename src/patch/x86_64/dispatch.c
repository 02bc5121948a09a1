/* SPDX-License-Identifier: MIT */
/*
 * The shared part of a hit, one dispatcher and one exit per consumer list.
 *
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
 * Entry of a function that is also reported at its return: after the programs, a struct nt_ret_entry is taken from
 * the thread's free list; it keeps the real return address and the caller's rbx, and rbx points to it while the body
 * runs. The slot's return address moves up into the place of the real one and `ret` pops it: the stack is now as
 * before the call of the function, and the thunk `call`s the body. So every ret has its call: return-stack prediction
 * and shadow stacks hold. When there is no entry to be had the dispatcher returns to the body instead and this call is
 * not reported.
 *
 * Exit. The body has returned into the thunk, which jumps here: rbx is the entry. Push the real return address, run
 * the programs, free the entry (the caller's rbx is read before the entry is published), `ret`.
 *
 * A signal may arrive at any instruction and its handler may hit probes itself, also on this thread's free list: pops
 * and pushes nest, so the list is as it was when the handler returns.
 */
#include "patch/x86_64/dispatch.h"

#include <errno.h>
#include <string.h>

#include "abi/bpf.h"

#define FRAME ((s32)(sizeof(struct nt_run) + NT_PT_REGS_SIZE))
#define CTX ((s32)sizeof(struct nt_run))
#define REG(i) (CTX + 8 * (s32)(i))
#define FLAGS_AT ((s32)offsetof(struct nt_run, reserved)) /* ax with the saved flags */
#define SLOT_CALL_LEN 5 /* call rel32: the return address is this far behind the slot's start ... */
#define RED_ZONE 128
#define THUNK_CALL_LEN 5 /* a thunk's return address is this far behind its start */
#define RED_ZONE_SKIP_LEN 5 /* ... plus lea rsp, [rsp - 128] in front of it in the middle of a function */

static const struct {
	u8 hw, pt;
} regs[] = {
	{ X86_RAX, NT_RAX }, { X86_RCX, NT_RCX }, { X86_RDX, NT_RDX }, { X86_RSI, NT_RSI },
	{ X86_RDI, NT_RDI }, { X86_R8, NT_R8 },	  { X86_R9, NT_R9 },   { X86_R10, NT_R10 },
	{ X86_R11, NT_R11 }, { X86_RBX, NT_RBX }, { X86_RBP, NT_RBP }, { X86_R12, NT_R12 },
	{ X86_R13, NT_R13 }, { X86_R14, NT_R14 }, { X86_R15, NT_R15 },
};
#define NREGS (sizeof(regs) / sizeof(regs[0]))
#define CALLER_SAVED                                                                                 \
	(1u << X86_RAX | 1u << X86_RCX | 1u << X86_RDX | 1u << X86_RSI | 1u << X86_RDI | 1u << X86_R8 | \
	 1u << X86_R9 | 1u << X86_R10 | 1u << X86_R11)

bool dispatch_shape_returns(const struct region_shape *s)
{
	for (u32 i = 0; i < s->n; i++)
		if (s->consumer[i].at_return)
			return true;
	return false;
}

/* What one side (entry or return) of a list needs. */
struct need {
	u64 ctx;	/* pt_regs words that are read */
	u32 clobbers;	/* registers to restore */
};

static struct need need_of(const struct region_shape *s, bool at_return)
{
	struct need n = { .clobbers = 1u << X86_RAX };

	for (u32 i = 0; i < s->n; i++) {
		const struct region_consumer *c = &s->consumer[i];

		if (c->at_return != at_return)
			continue;
		n.ctx |= c->ctx_read;
		n.clobbers |= c->clobbers & CALLER_SAVED;
		if (c->needs_ctx)
			n.clobbers |= 1u << X86_RDI;
	}
	return n;
}

static void save_regs(struct x86_writer *w, struct need n, u64 skip)
{
	for (u32 i = 0; i < NREGS; i++)
		if (!(skip & 1ull << regs[i].hw) && (n.clobbers & 1u << regs[i].hw || n.ctx & 1ull << regs[i].pt))
			x86_store(w, 8, X86_RSP, REG(regs[i].pt), regs[i].hw);
}

static void restore_regs(struct x86_writer *w, u32 mask)
{
	for (u32 i = 0; i < NREGS; i++)
		if (mask & 1u << regs[i].hw)
			x86_load(w, 8, regs[i].hw, X86_RSP, REG(regs[i].pt));
}

/* Saves registers and flags; afterwards rax is free. skip: registers that the caller of this stores itself. */
static void open_frame(struct x86_writer *w, struct need n, u64 skip)
{
	x86_lea(w, X86_RSP, X86_RSP, -FRAME);
	if (n.ctx & 1ull << NT_EFLAGS) {
		x86_pushfq(w);
		x86_pop_mem(w, X86_RSP, REG(NT_EFLAGS)); /* pop computes its address with rsp already raised */
	}
	save_regs(w, n, skip);
	x86_flags_to_ax(w);
	x86_store(w, 2, X86_RSP, FLAGS_AT, X86_RAX);
	if (n.ctx & 1ull << NT_ORIG_RAX)
		x86_store_imm(w, 8, X86_RSP, REG(NT_ORIG_RAX), -1);
	if (n.ctx & 1ull << NT_CS)
		x86_store_imm(w, 8, X86_RSP, REG(NT_CS), 0x33);
	if (n.ctx & 1ull << NT_SS)
		x86_store_imm(w, 8, X86_RSP, REG(NT_SS), 0x2b);
}

static void close_flags(struct x86_writer *w)
{
	x86_load(w, 2, X86_RAX, X86_RSP, FLAGS_AT);
	x86_flags_from_ax(w);
}

static void store_word(struct x86_writer *w, s32 at, enum x86_reg src)
{
	x86_store(w, 8, X86_RSP, at, src);
}

/* Where a slot's meta is: relative to the return address into it, through the entry, or at a known address. */
enum meta_from { META_FROM_SLOT, META_FROM_ENTRY, META_AT };

struct meta_ref {
	enum meta_from from;
	s32 back; /* META_FROM_SLOT: the return address minus this */
	u64 addr; /* META_AT */
};

/* rax = word of the meta. */
static void load_meta(struct x86_writer *w, const struct meta_ref *m, u32 off)
{
	s32 disp = (s32)off;

	switch (m->from) {
	case META_AT: x86_load_rip(w, X86_RAX, m->addr + off); return;
	case META_FROM_ENTRY: x86_load(w, 8, X86_RAX, X86_RBX, (s32)offsetof(struct nt_ret_entry, slot)); break;
	case META_FROM_SLOT:
		x86_load(w, 8, X86_RAX, X86_RSP, FRAME);
		disp -= m->back;
		break;
	}
	x86_load(w, 8, X86_RAX, X86_RAX, disp);
}

/* The program's own instructions; its table stands at run-time address `table`. */
static void emit_inlined(struct x86_writer *w, const struct region_inline *p, u64 table)
{
	u32 at = w->len;
	u64 here = x86_here(w);

	x86_bytes(w, p->code, p->len);
	for (u32 i = 0; i < p->nrip && w->buf && !w->error; i++) {
		s64 d = (s64)(table + 8 * p->rip_word[i] - (here + p->rip_at[i] + 4));
		s32 disp = (s32)d;

		if (d != disp)
			w->error = -ERANGE;
		memcpy(w->buf + at + p->rip_at[i], &disp, sizeof(disp));
	}
}

static void run_consumers(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words,
			  const struct meta_ref *m, bool at_return)
{
	for (u32 i = 0; i < s->n; i++) {
		const struct region_consumer *c = &s->consumer[i];
		u32 off, off_local = 0;

		if (c->at_return != at_return)
			continue;
		x86_load_rip(w, X86_RAX, words->consumer[i]);
		x86_alu_mem_imm(w, X86_CMP, 4, false, X86_RAX, 0, 0);
		off = x86_jcc_fwd(w, X86_CC_E);
		if (c->local_gate) {
			x86_load_rip(w, X86_RAX, words->consumer[i] + 8);
			x86_alu_mem_imm(w, X86_CMP, 4, false, X86_RAX, 0, 0);
			off_local = x86_jcc_fwd(w, X86_CC_E);
		}
		if (c->uses_func_ip) {
			load_meta(w, m, offsetof(struct nt_slot_meta, func_ip));
			store_word(w, (s32)offsetof(struct nt_run, func_ip), X86_RAX);
		}
		if (c->uses_cookie) {
			load_meta(w, m, (u32)offsetof(struct nt_slot_meta, cookie) + 8 * i);
			store_word(w, (s32)offsetof(struct nt_run, cookie), X86_RAX);
		}
		if (c->needs_ctx)
			x86_lea(w, X86_RDI, X86_RSP, CTX);
		if (c->inlined)
			emit_inlined(w, c->inlined, words->consumer[i] + 24);
		else
			x86_call_rip(w, words->consumer[i] + 16);
		x86_patch_here(w, off);
		if (c->local_gate)
			x86_patch_here(w, off_local);
	}
}

static void thread_pointer(struct x86_writer *w, const struct region_env *env, enum x86_reg dst)
{
	if (env->fs0)
		x86_load_fs(w, dst, 0);
	else
		x86_rdfsbase(w, dst);
}

/* rdx = this thread's row, else falls to the slow path; clobbers rax, rcx, rdx. Returns the mark of the mismatch. */
static u32 find_row(struct x86_writer *w, const struct region_env *env, const struct dispatch_words *words)
{
	thread_pointer(w, env, X86_RCX);
	x86_mov_imm(w, X86_RDX, NT_ROW_HASH_MUL);
	x86_imul(w, true, X86_RDX, X86_RCX);
	x86_shift_imm(w, X86_SHR, true, X86_RDX, (u8)(64 - env->row_bits));
	x86_shift_imm(w, X86_SHL, true, X86_RDX, 6);
	x86_load_rip(w, X86_RAX, words->rows);
	x86_alu(w, X86_ADD, true, X86_RDX, X86_RAX);
	x86_alu_mem(w, X86_CMP, 8, false, X86_RDX, (s32)offsetof(struct nt_row, fs), X86_RCX);
	return x86_jcc_fwd(w, X86_CC_NE);
}

/* Calls a payload function from inside the frame; every caller-saved register not yet in the frame is kept too. */
static void call_slow(struct x86_writer *w, u64 word, u32 saved)
{
	struct need rest = { .clobbers = CALLER_SAVED & ~saved };

	save_regs(w, rest, 0);
	x86_call_rip(w, word);
	restore_regs(w, rest.clobbers & ~(1u << X86_RAX));
}

/* How a function's slot goes on after the entry side. */
struct ret_way {
	bool inlined;	/* no dispatcher was called: meta and thunk are known here, the body follows this code */
	s32 back;	/* else: the meta is this far before the return address into the slot */
	u64 meta, thunk;
};

/* Fills the entry in rax; clobbers rcx; rdx is the row. in_use last: who sees it sees all of it (payload/ret.c). */
static void fill_entry(struct x86_writer *w, const struct ret_way *way)
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
	x86_load(w, 8, X86_RCX, X86_RDX, (s32)offsetof(struct nt_row, hits));
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, in_use), X86_RCX);
	x86_mov(w, true, X86_RBX, X86_RAX);
}

/* Out of the frame, the return address of the probed function included, and to the thunk. */
static void leave_to_thunk(struct x86_writer *w, const struct ret_way *way, u32 restore)
{
	close_flags(w);
	restore_regs(w, restore);
	if (way->inlined) {
		x86_lea(w, X86_RSP, X86_RSP, FRAME + 16);
		x86_jmp(w, way->thunk - THUNK_CALL_LEN);
	} else {
		x86_lea(w, X86_RSP, X86_RSP, FRAME + 8);
		x86_ret(w);
	}
}

/* No entry for this call: to the body, as if only entries were probed. */
static void leave_to_body(struct x86_writer *w, const struct ret_way *way, u32 restore)
{
	if (!way->inlined) {
		x86_load(w, 8, X86_RAX, X86_RSP, FRAME);
		x86_load(w, 8, X86_RAX, X86_RAX, (s32)offsetof(struct nt_slot_meta, body) - way->back);
		x86_store(w, 8, X86_RSP, FRAME, X86_RAX);
	}
	close_flags(w);
	restore_regs(w, restore);
	x86_lea(w, X86_RSP, X86_RSP, FRAME + (way->inlined ? 8 : 0));
	if (!way->inlined)
		x86_ret(w);
}

/* rdx = the row, its hits one more. What is missing, the way when the row is not where it should be, is the tail. */
static struct dispatch_tail count_hit(struct x86_writer *w, const struct region_env *env,
				      const struct dispatch_words *words, u32 saved)
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
	call_slow(w, words->fn_row_slow, tail->saved);
	x86_mov(w, true, X86_RDX, X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
	found = x86_jcc_fwd(w, X86_CC_NE);
	x86_load_rip(w, X86_RDX, words->no_row);
	x86_patch_here(w, found);
	x86_jmp(w, tail->have_row);
}

/* rdx = row. Takes a struct nt_ret_entry for this call; on success the way out goes to the thunk, else to the body. */
static void open_return(struct x86_writer *w, const struct dispatch_words *words, const struct dispatch_tail *hit,
			const struct ret_way *way)
{
	u32 no_free, no_memory, no_row, saved = hit->saved;

	x86_load(w, 8, X86_RAX, X86_RDX, (s32)offsetof(struct nt_row, free));
	x86_test(w, true, X86_RAX, X86_RAX);
	no_free = x86_jcc_fwd(w, X86_CC_E);
	x86_load(w, 8, X86_RCX, X86_RAX, (s32)offsetof(struct nt_ret_entry, next));
	x86_store(w, 8, X86_RDX, (s32)offsetof(struct nt_row, free), X86_RCX);
	fill_entry(w, way);
	leave_to_thunk(w, way, saved);

	/* The free list is empty: the payload refills it (rax != 0), or there is no memory left for this call. */
	x86_patch_here(w, no_free);
	call_slow(w, words->fn_ret_slow, saved);
	x86_test(w, true, X86_RAX, X86_RAX);
	no_memory = x86_jcc_fwd(w, X86_CC_E);
	call_slow(w, words->fn_row_slow, saved);
	x86_mov(w, true, X86_RDX, X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
	no_row = x86_jcc_fwd(w, X86_CC_E);
	x86_jmp(w, hit->counted);
	x86_patch_here(w, no_memory);
	x86_patch_here(w, no_row);
	leave_to_body(w, way, saved);
}

static void fill_ip_sp(struct x86_writer *w, struct need n, const struct meta_ref *m, s32 sp)
{
	if (n.ctx & 1ull << NT_RIP) {
		load_meta(w, m, offsetof(struct nt_slot_meta, func_ip));
		store_word(w, REG(NT_RIP), X86_RAX);
	}
	if (n.ctx & 1ull << NT_RSP) {
		x86_lea(w, X86_RAX, X86_RSP, sp);
		store_word(w, REG(NT_RSP), X86_RAX);
	}
}

void dispatch_emit_inline(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			  const struct dispatch_words *words, u64 meta, u64 thunk, struct dispatch_tail *tail)
{
	struct ret_way way = { .inlined = true, .meta = meta, .thunk = thunk };
	struct meta_ref m = { .from = META_AT, .addr = meta };
	struct need n = need_of(s, false);

	n.clobbers |= 1u << X86_RCX | 1u << X86_RDX;
	if (thunk) /* the word where a dispatcher has its return address: the payload counts on one layout */
		x86_lea(w, X86_RSP, X86_RSP, -8);
	open_frame(w, n, 0);
	fill_ip_sp(w, n, &m, FRAME + (thunk ? 8 : 0));
	run_consumers(w, s, words, &m, false);
	*tail = count_hit(w, env, words, n.clobbers);
	if (thunk) {
		open_return(w, words, tail, &way);
		return;
	}
	close_flags(w);
	restore_regs(w, n.clobbers);
	x86_lea(w, X86_RSP, X86_RSP, FRAME);
}

void dispatch_emit_entry(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			 const struct dispatch_words *words, bool entry)
{
	bool returns = entry && dispatch_shape_returns(s);
	s32 back = (s32)dispatch_meta_size(s->n) + SLOT_CALL_LEN + (entry ? 0 : RED_ZONE_SKIP_LEN);
	struct meta_ref m = { .from = META_FROM_SLOT, .back = back };
	struct need n = need_of(s, false);
	struct dispatch_tail tail;

	n.clobbers |= 1u << X86_RCX | 1u << X86_RDX;
	open_frame(w, n, 0);
	fill_ip_sp(w, n, &m, FRAME + 8 + (entry ? 0 : RED_ZONE));
	run_consumers(w, s, words, &m, false);
	tail = count_hit(w, env, words, n.clobbers);
	if (returns) {
		open_return(w, words, &tail, &(struct ret_way){ .back = back });
	} else {
		close_flags(w);
		restore_regs(w, n.clobbers);
		x86_lea(w, X86_RSP, X86_RSP, FRAME);
		x86_ret(w);
	}
	dispatch_emit_tail(w, words, &tail);
}

void dispatch_emit_exit(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			const struct dispatch_words *words)
{
	struct meta_ref m = { .from = META_FROM_ENTRY };
	struct need n = need_of(s, true);
	u32 no_row, lost;
	u64 have_row;

	n.clobbers |= 1u << X86_RCX | 1u << X86_RDX;
	x86_push_mem(w, X86_RBX, (s32)offsetof(struct nt_ret_entry, ra));
	open_frame(w, n, 1u << X86_RBX);
	if (n.ctx & 1ull << NT_RIP) {
		x86_load(w, 8, X86_RAX, X86_RBX, (s32)offsetof(struct nt_ret_entry, ra));
		store_word(w, REG(NT_RIP), X86_RAX);
	}
	if (n.ctx & 1ull << NT_RSP) {
		x86_lea(w, X86_RAX, X86_RSP, FRAME + 8);
		store_word(w, REG(NT_RSP), X86_RAX);
	}
	if (n.ctx & 1ull << NT_RBX) {
		x86_load(w, 8, X86_RAX, X86_RBX, (s32)offsetof(struct nt_ret_entry, rbx));
		store_word(w, REG(NT_RBX), X86_RAX);
	}
	x86_store_imm(w, 8, X86_RSP, (s32)offsetof(struct nt_run, is_return), 1);
	run_consumers(w, s, words, &m, true);

	/* Usually the row that it came from is this thread's; only a coroutine can return in another thread. */
	thread_pointer(w, env, X86_RCX);
	x86_load(w, 8, X86_RDX, X86_RBX, (s32)offsetof(struct nt_ret_entry, row));
	x86_alu_mem(w, X86_CMP, 8, false, X86_RDX, (s32)offsetof(struct nt_row, fs), X86_RCX);
	no_row = x86_jcc_fwd(w, X86_CC_NE);
	have_row = x86_here(w);
	x86_store_imm(w, 8, X86_RBX, (s32)offsetof(struct nt_ret_entry, in_use), 0);
	x86_load(w, 8, X86_RAX, X86_RDX, (s32)offsetof(struct nt_row, free));
	x86_store(w, 8, X86_RBX, (s32)offsetof(struct nt_ret_entry, next), X86_RAX);
	x86_mov(w, true, X86_RCX, X86_RBX);
	x86_load(w, 8, X86_RBX, X86_RBX, (s32)offsetof(struct nt_ret_entry, rbx));
	x86_store(w, 8, X86_RDX, (s32)offsetof(struct nt_row, free), X86_RCX);
	close_flags(w);
	restore_regs(w, n.clobbers);
	x86_lea(w, X86_RSP, X86_RSP, FRAME);
	x86_ret(w);

	x86_patch_here(w, no_row);
	call_slow(w, words->fn_row_slow, n.clobbers);
	x86_mov(w, true, X86_RDX, X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
	lost = x86_jcc_fwd(w, X86_CC_E);
	x86_jmp(w, have_row);
	/* A thread without a row cannot take the entry back: it stays out of the list (found by the reaper). */
	x86_patch_here(w, lost);
	x86_mov(w, true, X86_RCX, X86_RBX);
	x86_load(w, 8, X86_RBX, X86_RBX, (s32)offsetof(struct nt_ret_entry, rbx));
	x86_store_imm(w, 8, X86_RCX, (s32)offsetof(struct nt_ret_entry, thunk), 0);
	close_flags(w);
	restore_regs(w, n.clobbers);
	x86_lea(w, X86_RSP, X86_RSP, FRAME);
	x86_ret(w);
}
