/* SPDX-License-Identifier: MIT */
/*
 * Walking up the stack from inside, at any instruction, on any thread.
 *
 * By tables. For every mapped file the broker made a table of where the caller's frame is
 * (abi/unwind.h). Most code keeps no frame pointer, so this is the usual way: bisect the table, add,
 * load the return address. Where there is no table, code made at run time mostly, rbp is taken for
 * a frame pointer, as the kernel does everywhere. A probed instruction without a table is taken for
 * the first of a function.
 *
 * Our own thunks stand in place of return addresses; the thread's list of calls (nt_row.top, newest
 * first) has the real ones.
 *
 * Whatever the tables and the stack say may be nonsense: each step goes up, at most STEPS_MAX of
 * them are made, and only what is certain to be there is loaded without asking (stack_sure.h).
 */
#include "payload/stack.h"

#include <asm/errno.h>

#include "abi/bpf.h"
#include "abi/unwind.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "payload/region.h"
#include "payload/row.h"
#include "payload/safe_read.h"
#include "payload/stack_sure.h"

#define STEPS_MAX 512u
#define FRAME_MAX (16u << 20)	 /* bytes: a larger frame is nonsense */
#define CHAIN_MAX 128u

/* Offsets from a signal frame's struct ucontext, which is where rsp points. */
#define UC_RBP 120u
#define UC_RSP 160u
#define UC_RIP 168u

static void find_sure(struct stack_walk *w)
{
	u64 here = (u64)__builtin_frame_address(0);
	struct nt_row *row = row_find_or_add();

	w->sure_lo = here;
	w->sure_hi = stack_sure_end(here);
	if (w->sp < w->sure_lo || w->sp >= w->sure_hi) /* programs run on another stack than what they look at */
		w->sure_lo = w->sure_hi = 0;
	w->entry = row ? at_load(&row->top) : 0;
}

__attribute__((no_sanitize("address"))) static u64 load_word(u64 addr)
{
	return *(const mem_word *)addr;
}

static bool stack_word(struct stack_walk *w, u64 addr, u64 *ret)
{
	u64 off = addr - w->window_at;

	if (addr >= w->sure_lo && addr < w->sure_hi && w->sure_hi - addr >= 8) {
		*ret = load_word(addr);
		return true;
	}
	if (addr % 8 || addr < w->sure_lo)
		return false;
	if (!w->window_at || off >= sizeof(w->window)) {
		u32 n = sizeof(w->window);

		off = NT_PAGE - addr % NT_PAGE;
		if (off < n)
			n = (u32)off;
		mem_zero(w->window, sizeof(w->window));
		w->window_at = 0;
		if (safe_read(w->window, addr, n))
			return false;
		w->window_at = addr;
		off = 0;
	}
	if ((w->window_at + off) / NT_PAGE != w->window_at / NT_PAGE) { /* the window ended with its page */
		w->window_at = 0;
		return stack_word(w, addr, ret);
	}
	*ret = w->window[off / 8];
	return true;
}

/* --- tables --- */

static bool module_read(u32 i, struct nt_unwind_module *ret)
{
	const struct nt_unwind_module *m = &nt_state.unwind[i];
	u32 seq = at_load_acq(&m->seq);

	*ret = (struct nt_unwind_module){at_load_acq(&m->lo), at_load_acq(&m->hi), at_load_acq(&m->bias),
					 at_load_acq(&m->rows), at_load_acq(&m->nrows), seq, 0, 0, {0}, 0};
	return !(seq & 1) && at_load_acq(&m->seq) == seq;
}

bool stack_module_of(u64 pc, struct nt_unwind_module *ret)
{
	u32 n = at_load_acq(&nt_state.nunwind), seq;

	for (u32 i = 0; i < bits_min(n, NT_MAX_UNWIND); i++) {
		const struct nt_unwind_module *m = &nt_state.unwind[i];

		seq = at_load_acq(&m->seq);
		if (seq & 1 || pc - at_load(&m->lo) >= at_load(&m->hi) - at_load(&m->lo))
			continue;
		mem_copy(ret, m, sizeof(*ret));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		return at_load(&m->seq) == seq && pc - ret->lo < ret->hi - ret->lo;
	}
	return false;
}

static bool module_find(struct stack_walk *w, u64 pc, struct nt_unwind_module *ret)
{
	u32 n = at_load_acq(&nt_state.nunwind);

	n = bits_min(n, NT_MAX_UNWIND);
	if (w->module < n && module_read(w->module, ret) && pc - ret->lo < ret->hi - ret->lo)
		return true;
	for (u32 i = 0; i < n; i++)
		if (module_read(i, ret) && pc - ret->lo < ret->hi - ret->lo) {
			w->module = i;
			return true;
		}
	return false;
}

static struct nt_unwind_row row_at(const struct nt_unwind_module *m, u64 pc)
{
	const struct nt_unwind_row *row = (void *)m->rows;
	u64 rel = pc - m->bias;
	u32 lo = 0, hi = m->nrows;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (row[mid].pc <= rel)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && rel <= UINT32_MAX ? row[lo - 1] : (struct nt_unwind_row){.kind = NT_UNWIND_NONE};
}

/* --- steps --- */

static bool is_above(u64 addr, u64 sp)
{
	return addr % 8 == 0 && addr > sp && addr - sp <= FRAME_MAX;
}

/* The return address that a thunk at stack word `at` stands for; a tail jump leaves several calls
 * with one word. */
static u64 real_return(struct stack_walk *w, u64 ra, u64 at)
{
	for (u32 n = 0; n < CHAIN_MAX && region_contains(ra); n++) {
		const struct nt_ret_entry *e = (void *)w->entry;
		u64 off = w->entry - nt_state.pool, sp;

		if (off >= (u64)nt_state.pool_n * sizeof(*e) || off % sizeof(*e))
			return ra;
		sp = at_load(&e->sp);
		if (sp > at)
			return ra;
		if (sp == at)
			ra = at_load(&e->ra);
		w->entry = at_load(&e->next);
	}
	return ra;
}

/* The caller's frame begins at cfa; its rbp is known already. */
static bool leave_frame(struct stack_walk *w, u64 cfa)
{
	u64 ra;

	if (!is_above(cfa, w->sp) || !stack_word(w, cfa - 8, &ra))
		return false;
	w->pc = real_return(w, ra, cfa - 8);
	w->sp = cfa;
	w->call = true;
	return w->pc;
}

static bool leave_signal(struct stack_walk *w)
{
	u64 pc, sp, bp, at = w->sp;

	if (!stack_word(w, at + UC_RBP, &bp) || !stack_word(w, at + UC_RSP, &sp) ||
	    !stack_word(w, at + UC_RIP, &pc) || !pc)
		return false;
	if (sp < w->sure_lo || sp >= w->sure_hi) { /* the handler runs on a stack of its own */
		w->sure_hi = stack_sure_main(sp);
		w->sure_lo = w->sure_hi ? sp : 0;
		w->window_at = 0;
	}
	w->pc = pc;
	w->sp = sp;
	w->bp = bp;
	w->call = false;
	return true;
}

static bool leave_by_row(struct stack_walk *w, struct nt_unwind_row row)
{
	u64 cfa, bp = w->bp;

	switch (row.kind) {
	case NT_UNWIND_RSP: cfa = w->sp + 8 * row.off; break;
	case NT_UNWIND_RBP: cfa = w->bp + 8 * row.off; break;
	case NT_UNWIND_PLT: cfa = w->sp + 8 + 8 * ((w->pc & 15) >= row.off); break;
	case NT_UNWIND_DEREF:
		if (!is_above(w->bp - 8 * row.off, w->sp - 8) || !stack_word(w, w->bp - 8 * row.off, &cfa))
			return false;
		break;
	case NT_UNWIND_SIGNAL: return leave_signal(w);
	default: return false;
	}
	if (!is_above(cfa, w->sp))
		return false;
	if (row.rbp == NT_UNWIND_RBP_AT_RBP) {
		if (!is_above(w->bp, w->sp - 8) || !stack_word(w, w->bp, &bp))
			return false;
	} else if (row.rbp && !stack_word(w, cfa + (u64)(8 * (s64)row.rbp), &bp)) {
		return false;
	}
	w->bp = bp;
	return leave_frame(w, cfa);
}

/* rbp points to the caller's rbp, the return address lies above it. */
static bool leave_by_frame_pointer(struct stack_walk *w)
{
	u64 bp, cfa = w->bp + 16;

	if (!is_above(w->bp, w->sp - 8) || !stack_word(w, w->bp, &bp))
		return false;
	w->bp = bp;
	return leave_frame(w, cfa);
}

void stack_walk_begin(struct stack_walk *w, u64 ctx)
{
	const u64 *regs = (void *)ctx;

	w->pc = regs[NT_RIP];
	w->sp = regs[NT_RSP];
	w->bp = regs[NT_RBP];
	w->call = false;
	w->frames = w->module = 0;
	w->sure_lo = w->sure_hi = w->window_at = 0;
	find_sure(w);
}

bool stack_walk_next(struct stack_walk *w)
{
	struct nt_unwind_module m;
	struct nt_unwind_row row = {.kind = NT_UNWIND_NONE};
	u64 at = w->pc - w->call; /* a call may be the last instruction of its function */

	if (w->frames++ == STEPS_MAX)
		return false;
	if (module_find(w, at, &m))
		row = row_at(&m, at);
	if (row.kind != NT_UNWIND_NONE)
		return leave_by_row(w, row);
	if (w->frames == 1)
		return leave_frame(w, w->sp + 8);
	return leave_by_frame_pointer(w);
}
