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
 * the programs, free the entry (the caller's rbx is read before the entry is published), `ret`. The thunk jumps through
 * meta.exit: when the site's list has changed since the call began it leads to the exit of the list as it is now.
 *
 * Sessions run on both sides. A list that has some takes its entry before the programs run, because the cookies are in
 * it, and gives it back when in the end nobody wants the return (payload/session.c).
 *
 * A signal may arrive at any instruction and its handler may hit probes itself, also on this thread's free list: pops
 * and pushes nest, so the list is as it was when the handler returns.
 */
#include "patch/x86_64/dispatch.h"

#include <errno.h>
#include <string.h>

#include "abi/bpf.h"
#include "patch/x86_64/frame.h"

#define FLAGS_AT ((s32)offsetof(struct nt_run, reserved)) /* ax with the saved flags */
#define SLOT_CALL_LEN 5 /* call rel32: the return address is this far behind the slot's start ... */
#define RED_ZONE 128
#define MAX_DEPTH 64 /* payload/depth.c */
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
		if (s->consumer[i].at_return || s->consumer[i].session)
			return true;
	return false;
}

static u32 sessions_before(const struct region_shape *s, u32 end)
{
	u32 n = 0;

	for (u32 i = 0; i < end; i++)
		n += s->consumer[i].session;
	return n;
}

/* Which word of the meta's cookies is the function's address, for the i-th consumer, that looks at a `ret`. */
static u32 func_word(const struct region_shape *s, u32 i)
{
	u32 n = s->n;

	for (u32 k = 0; k < i; k++)
		n += s->consumer[k].at_ret;
	return n;
}

u32 dispatch_meta_words(const struct region_shape *s)
{
	return func_word(s, s->n);
}

bool dispatch_shape_has_sessions(const struct region_shape *s)
{
	return sessions_before(s, s->n);
}

/* Does this consumer run on that side? */
static bool runs(const struct region_consumer *c, bool at_return)
{
	return c->session || c->at_return == at_return;
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

		if (!runs(c, at_return))
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

/* Calls a payload function from inside the frame; every caller-saved register not yet in the frame is kept too. */
static void call_slow_begin(struct x86_writer *w, u32 saved)
{
	struct need rest = { .clobbers = CALLER_SAVED & ~saved };

	save_regs(w, rest, 0);
}

static void call_slow_end(struct x86_writer *w, u64 word, u32 saved)
{
	x86_call_rip(w, word);
	restore_regs(w, CALLER_SAVED & ~saved & ~(1u << X86_RAX));
}

static void call_slow(struct x86_writer *w, u64 word, u32 saved)
{
	call_slow_begin(w, saved);
	call_slow_end(w, word, saved);
}

/* The same with the address of the return address word as its argument. */
static void call_slow_word(struct x86_writer *w, u64 word, u32 saved)
{
	call_slow_begin(w, saved);
	x86_lea(w, X86_RDI, X86_RSP, FRAME + 8);
	call_slow_end(w, word, saved);
}

/* Entry side: the k-th session's cookie is in the call's entry, or in the frame if the call has none. */
static void session_begin(struct x86_writer *w, u32 k)
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
static void session_decide(struct x86_writer *w, u64 key_word)
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
static void session_find(struct x86_writer *w, const struct dispatch_words *words, u64 key_word, u32 saved)
{
	call_slow_begin(w, saved);
	x86_mov(w, true, X86_RDI, X86_RBX);
	x86_load_rip(w, X86_RSI, key_word);
	call_slow_end(w, words->fn_session_at, saved);
	frame_store_word(w, (s32)offsetof(struct nt_run, session), X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
}

static void run_program(struct x86_writer *w, const struct region_shape *s, u64 words, u64 stats_run, u32 i,
			const struct meta_ref *m)
{
	const struct region_consumer *c = &s->consumer[i];

	if (c->uses_func_ip) {
		frame_load_meta(w, m, c->at_ret ? (u32)offsetof(struct nt_slot_meta, cookie) + 8 * func_word(s, i)
						: (u32)offsetof(struct nt_slot_meta, func_ip));
		frame_store_word(w, (s32)offsetof(struct nt_run, func_ip), X86_RAX);
	}
	if (c->uses_cookie) {
		frame_load_meta(w, m, (u32)offsetof(struct nt_slot_meta, cookie) + 8 * i);
		frame_store_word(w, (s32)offsetof(struct nt_run, cookie), X86_RAX);
	}
	if (c->uses_session && c->at_ret)
		x86_store_imm(w, 8, X86_RSP, (s32)offsetof(struct nt_run, is_return), 1);
	if (c->uses_session && !c->session) { /* the kernel's pointer is NULL here: a program that follows it must not harm */
		x86_store_imm(w, 8, X86_RSP, (s32)offsetof(struct nt_run, none.cookie), 0);
		x86_lea(w, X86_RAX, X86_RSP, (s32)offsetof(struct nt_run, none.cookie));
		frame_store_word(w, (s32)offsetof(struct nt_run, session), X86_RAX);
	}
	if (c->needs_ctx)
		x86_lea(w, X86_RDI, X86_RSP, CTX);
	if (c->stats) {
		x86_load_rip(w, X86_RSI, words + 16);
		x86_load_rip(w, X86_RDX, words + 32);
		x86_call_rip(w, stats_run);
	} else if (c->inlined)
		emit_inlined(w, c->inlined, words + 8 * DISPATCH_CONSUMER_WORDS);
	else
		x86_call_rip(w, words + 16);
}

/* saved: registers that are in the frame already. sp: entry side: as for frame_fill_site(). */
static void run_consumers(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words,
			  const struct meta_ref *m, bool at_return, s32 sp, struct need need)
{
	u32 at_rets = func_word(s, s->n) - s->n, saved = need.clobbers;

	if (!at_return && !at_rets)
		frame_fill_site(w, need.ctx, m, sp);
	for (u32 i = 0; i < s->n; i++) {
		const struct region_consumer *c = &s->consumer[i];
		u32 off, off_local = 0, unwanted = 0;

		if (!runs(c, at_return))
			continue;
		x86_load_rip(w, X86_RAX, words->consumer[i]);
		x86_alu_mem_imm(w, X86_CMP, 4, false, X86_RAX, 0, 0);
		off = x86_jcc_fwd(w, X86_CC_E);
		if (c->local_gate) {
			x86_load_rip(w, X86_RAX, words->consumer[i] + 8);
			x86_alu_mem_imm(w, X86_CMP, 4, false, X86_RAX, 0, 0);
			off_local = x86_jcc_fwd(w, X86_CC_E);
		}
		if (c->session && at_return) {
			session_find(w, words, words->consumer[i] + 24, saved);
			unwanted = x86_jcc_fwd(w, X86_CC_E);
		} else if (c->session) {
			session_begin(w, sessions_before(s, i));
		}
		if (at_rets && !at_return && c->at_ret)
			frame_fill_returned(w, c->ctx_read, sp);
		else if (at_rets && !at_return)
			frame_fill_site(w, c->ctx_read, m, sp);
		run_program(w, s, words->consumer[i], words->fn_stats_run, i, m);
		if (c->session && !at_return)
			session_decide(w, words->consumer[i] + 24);
		x86_patch_here(w, off);
		if (c->local_gate)
			x86_patch_here(w, off_local);
		if (c->session && at_return)
			x86_patch_here(w, unwanted);
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
	x86_load(w, 8, X86_RCX, X86_RDX, (s32)offsetof(struct nt_row, top));
	x86_store(w, 8, X86_RAX, (s32)offsetof(struct nt_ret_entry, next), X86_RCX);
	x86_store(w, 8, X86_RDX, (s32)offsetof(struct nt_row, top), X86_RAX);
	x86_alu_mem_imm(w, X86_ADD, 4, false, X86_RDX, (s32)offsetof(struct nt_row, depth), 1);
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
static void open_return(struct x86_writer *w, const struct dispatch_words *words, const struct dispatch_tail *hit,
			const struct ret_way *way)
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
	call_slow_word(w, words->fn_ret_slow, saved);
	x86_test(w, true, X86_RAX, X86_RAX);
	no_memory = x86_jcc_fwd(w, X86_CC_E);
	call_slow(w, words->fn_row_slow, saved);
	x86_mov(w, true, X86_RDX, X86_RAX);
	x86_test(w, true, X86_RAX, X86_RAX);
	no_row = x86_jcc_fwd(w, X86_CC_E);
	x86_jmp(w, d.allowed);

	x86_patch_here(w, d.doubtful);
	x86_patch_here(w, d.deep);
	call_slow_word(w, words->fn_ret_deep, saved);
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
static void open_sessions(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words, u32 saved)
{
	call_slow_begin(w, saved);
	x86_lea(w, X86_RDI, X86_RSP, FRAME + 8);
	x86_mov_imm(w, X86_RSI, sessions_before(s, s->n));
	call_slow_end(w, words->fn_session_open, saved);
	frame_store_word(w, (s32)offsetof(struct nt_run, entry), X86_RAX);
	x86_store_imm(w, 8, X86_RSP, (s32)offsetof(struct nt_run, is_return), 0);
}

/* After the programs. */
static void close_sessions(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words,
			   const struct ret_way *way, u32 saved)
{
	bool anyway = false; /* somebody else wants the return */
	u32 none, unwanted = 0;

	for (u32 i = 0; i < s->n; i++)
		anyway |= s->consumer[i].at_return;
	x86_load(w, 8, X86_RAX, X86_RSP, (s32)offsetof(struct nt_run, entry));
	x86_test(w, true, X86_RAX, X86_RAX);
	none = x86_jcc_fwd(w, X86_CC_E);
	if (!anyway) {
		call_slow_begin(w, saved);
		x86_mov(w, true, X86_RDI, X86_RAX);
		call_slow_end(w, words->fn_session_keep, saved);
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

void dispatch_emit_inline(struct x86_writer *w, const struct region_env *env, const struct region_shape *s,
			  const struct dispatch_words *words, u64 meta, u64 thunk, bool other_stack,
			  struct dispatch_tail *tail)
{
	struct ret_way way = { .inlined = true, .meta = meta, .thunk = thunk };
	struct meta_ref m = { .from = META_AT, .addr = meta };
	struct need n = need_of(s, false);

	n.clobbers |= 1u << X86_RCX | 1u << X86_RDX;
	if (thunk) /* the word where a dispatcher has its return address: the payload counts on one layout */
		x86_lea(w, X86_RSP, X86_RSP, -8);
	open_frame(w, n, 0);
	run_consumers(w, s, words, &m, false, other_stack ? FRAME_SP_ON_STACK : FRAME + (thunk ? 8 : 0), n);
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
	bool returns = entry && dispatch_shape_returns(s), sessions = entry && dispatch_shape_has_sessions(s);
	s32 back = (s32)dispatch_meta_size(s) + SLOT_CALL_LEN + (entry ? 0 : RED_ZONE_SKIP_LEN);
	struct meta_ref m = { .from = META_FROM_SLOT, .back = back };
	struct need n = need_of(s, false);
	struct dispatch_tail tail;

	n.clobbers |= 1u << X86_RCX | 1u << X86_RDX;
	open_frame(w, n, 0);
	if (sessions) {
		tail = count_hit(w, env, words, n.clobbers);
		open_sessions(w, s, words, n.clobbers);
	}
	run_consumers(w, s, words, &m, false, FRAME + 8 + (entry ? 0 : RED_ZONE), n);
	if (!sessions)
		tail = count_hit(w, env, words, n.clobbers);
	if (sessions) {
		close_sessions(w, s, words, &(struct ret_way){ .back = back }, n.clobbers);
	} else if (returns) {
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
	u32 no_row, lost, more;
	u64 have_row, no_more;

	n.clobbers |= 1u << X86_RCX | 1u << X86_RDX;
	x86_push_mem(w, X86_RBX, (s32)offsetof(struct nt_ret_entry, ra));
	open_frame(w, n, 1u << X86_RBX);
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
	run_consumers(w, s, words, &m, true, 0, n);

	/* Usually the row that it came from is this thread's; only a coroutine can return in another thread. */
	thread_pointer(w, env, X86_RCX);
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
	close_flags(w);
	restore_regs(w, n.clobbers);
	x86_lea(w, X86_RSP, X86_RSP, FRAME);
	x86_ret(w);

	x86_patch_here(w, more);
	frame_store_word(w, (s32)offsetof(struct nt_run, entry), X86_RDX);
	call_slow_begin(w, n.clobbers);
	x86_mov(w, true, X86_RDI, X86_RBX);
	x86_mov(w, true, X86_RSI, X86_RDX);
	call_slow_end(w, words->fn_session_more, n.clobbers);
	x86_load(w, 8, X86_RDX, X86_RSP, (s32)offsetof(struct nt_run, entry));
	x86_jmp(w, no_more);

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
