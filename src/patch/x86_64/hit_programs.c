/* SPDX-License-Identifier: MIT */
/*
 * The programs of a consumer list, one after the other, inside a frame: each behind its gates, with what it asks for in
 * the words before ctx. The list is known when the code is made, so nothing is looked up at a hit.
 */
#include "patch/x86_64/hit.h"

#include <errno.h>
#include <string.h>

bool dispatch_shape_returns(const struct region_shape *s)
{
	for (u32 i = 0; i < s->n; i++)
		if (s->consumer[i].at_return || s->consumer[i].session)
			return true;
	return false;
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
	return session_number(s, s->n);
}

/* Does this consumer run on that side? */
static bool runs(const struct region_consumer *c, bool at_return)
{
	return c->session || c->at_return == at_return;
}

struct frame_need programs_need(const struct region_shape *s, bool at_return)
{
	struct frame_need n = { .clobbers = 1u << X86_RAX };

	for (u32 i = 0; i < s->n; i++) {
		const struct region_consumer *c = &s->consumer[i];

		if (!runs(c, at_return))
			continue;
		n.ctx |= c->ctx_read;
		n.clobbers |= c->clobbers & FRAME_CALLER_SAVED;
		if (c->needs_ctx)
			n.clobbers |= 1u << X86_RDI;
	}
	return n;
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
void programs_emit(struct x86_writer *w, const struct region_shape *s, const struct dispatch_words *words,
		   const struct meta_ref *m, bool at_return, s32 sp, struct frame_need need)
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
			session_begin(w, session_number(s, i));
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
