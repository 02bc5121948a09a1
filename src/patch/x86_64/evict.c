/* SPDX-License-Identifier: MIT */
/*
 * Room for a jump where there is no padding: instructions near the site make place for it.
 *
 *     site:    jmp short ----------------+
 *     ...                                v
 *     victim:  jmp copy of the victim | jmp slot | rest of the victim's last instruction
 *              ^ its own flow comes here
 *
 * The victim is a window of ten bytes like any other, with the same conditions; nobody is called there, its instructions
 * run from the copy. Nothing says that the analysis knows all jumps, and this window is our choice: so of those in
 * reach, it is one with as few instructions as possible - a single long one has no inside that anybody could jump to -
 * and none that is a function's entry (somebody may want to probe that), calls, makes a system call (where threads
 * sleep), or ends the flow.
 */
#include "patch/x86_64/window.h"

#include <string.h>

enum { FAR = PATCH_FAR_MAX, OTHERS_BEFORE = PATCH_WINDOW_MAX + 4, OTHERS_BEHIND = 8 };

static bool is_call(const struct ask *q, u64 a)
{
	struct x86_insn i;

	return !x86_read_strict(q->t->bytes + (a - q->t->lo), q->t->hi - a, &i) || i.kind == X86_K_CALL ||
	       i.kind == X86_K_CALL_IND;
}

static u64 code_end(const struct ask *q, u64 addr)
{
	s64 f = binary_func_at(q->b, addr);

	return f >= 0 && q->b->info[f].end > addr && q->b->info[f].end < q->t->hi ? q->b->info[f].end : q->t->hi;
}

static bool victim_at(const struct ask *q, u64 a, const struct window *mine, struct window *ret)
{
	const struct text *t = q->t;
	struct window w;

	if (a < t->lo || a >= t->hi || t->hi - a < FAR || !bit_test(t->start, a - t->lo) ||
	    bit_test(t->dead, a - t->lo) || bit_test(t->idle, a - t->lo))
		return false;
	if (a < mine->at + mine->len && mine->at < a + PATCH_VICTIM_MAX)
		return false;
	if (window_function(q->b, a) || window_try(q, a, a, FAR, code_end(q, a), &w) || w.form == PATCH_PAD)
		return false;
	if (w.has_syscall || w.ends_flow || window_sigreturn(t, a, w.len))
		return false;
	for (u32 i = 0; i < w.ninsn; i++)
		if (is_call(q, a + w.off[i]))
			return false;
	if (window_other(q, a < OTHERS_BEFORE ? 0 : a - OTHERS_BEFORE, a + w.len + OTHERS_BEHIND))
		return false;
	*ret = w;
	return true;
}

bool evict_try(const struct ask *q, const struct window *mine, struct patch_plan *p)
{
	u64 from = mine->at + SHORT_LEN; /* where the short jump counts from */
	struct window best = { .ninsn = 0xff }, w;

	for (u32 d = 0; d <= 128 && best.ninsn > 1; d++) {
		if (d < 128 && victim_at(q, from + d - JMP_LEN, mine, &w) && w.ninsn < best.ninsn)
			best = w;
		if (from >= d + JMP_LEN && victim_at(q, from - d - JMP_LEN, mine, &w) && w.ninsn < best.ninsn)
			best = w;
	}
	if (best.ninsn == 0xff)
		return false;
	p->form = PATCH_EVICT;
	p->island = best.at;
	p->far_len = FAR;
	p->victim.len = best.len;
	p->victim.ninsn = best.ninsn;
	p->victim.guarded = best.guarded;
	memcpy(p->victim.insn_off, best.off, sizeof(p->victim.insn_off));
	memcpy(p->victim.orig, q->t->bytes + (best.at - q->t->lo), best.len);
	memcpy(p->island_orig, p->victim.orig, FAR);
	return true;
}
