/* SPDX-License-Identifier: MIT */
/*
 * The plan for one site. `jmp rel32` takes 5 bytes, most instructions have fewer, so whole
 * instructions are displaced until there is room; they run from a copy. Whoever can come to rest or
 * arrive INSIDE those 5 bytes must be excluded:
 *
 *     site                 site+5       site+wlen
 *     | insn 0 | insn 1 | insn 2 .......|          patched bytes: [site, site+5)
 *     |<------- displaced ------------->|          run from the copy, then jump to site+wlen
 *          ^ no target here             ^ here it is all right
 *
 * Forms are tried from best to worst:
 *
 *   1. a window of 5 bytes from the site on: a nop; one instruction; several; several and dead padding
 *   2. a window of 2 bytes with a short jump to an island: 5 bytes of padding in reach, between functions or at least
 *      behind the end of the flow, but never the first 4 bytes of it, which may belong to the window in front
 *   3. a window of 5 bytes that begins before the site. Control must come to the site from there and from nowhere else:
 *      the copy of what stands before the site leads to the slot. For `ret`, `pop` and other short instructions that
 *      are followed by something that is jumped to
 *   4. a short jump to room made among other instructions (evict.c)
 *   5. the same two with a window of 2 bytes that begins before the site
 */
#include "patch/x86_64/window.h"

#include <string.h>

#include "isa/x86_64/relocator.h"

enum { PAD_WINDOW = JMP_LEN - 1, NEAR_ENTRY = JMP_LEN + 2 };

/*
 * Of what uprobes of kernel 6.18 refuse (arch/x86/kernel/uprobes.c: good_insns_64 and the bad prefixes; compared with a
 * running kernel, opcode by opcode) these are refused here too: they trap or fault, and it shall be seen where. The lock
 * and segment prefixes are no trouble for us.
 */
static bool is_bad(const struct x86_insn *i)
{
	if (i->map != X86_MAP_ONE)
		return false;
	switch (i->opcode) {
	case 0x6c ... 0x6f: case 0xe4 ... 0xe7: case 0xec ... 0xef: /* port input and output */
	case 0xcc: case 0xcd: case 0xcf: case 0xf1: case 0xf4: case 0xfa: case 0xfb:
		return true;
	case 0x8e:
		return (i->modrm >> 3 & 7) == 2; /* mov ss */
	}
	return false;
}

static bool island_free(const struct ask *q, u64 a, const u64 *padding)
{
	const u32 n = PAD_WINDOW + JMP_LEN;
	const struct text *t = q->t;

	if (a < t->lo + PAD_WINDOW || a > t->hi || t->hi - a < JMP_LEN)
		return false;
	if (bit_range(padding, a - PAD_WINDOW - t->lo, n) != (1u << n) - 1)
		return false;
	return !window_taken(q, a, a + JMP_LEN);
}

/* The nearest free place that `jmp rel8` at `at` reaches; forward first. 0 = none. */
static u64 find_island(const struct ask *q, u64 at, const u64 *padding)
{
	u64 from = at + SHORT_LEN;

	for (u32 d = 0; d <= 128; d++) {
		if (d < 128 && island_free(q, from + d, padding))
			return from + d;
		if (from >= d && island_free(q, from - d, padding))
			return from - d;
	}
	return 0;
}

static bool island_try(const struct ask *q, const struct window *w, struct patch_plan *p)
{
	u64 a = find_island(q, w->at, q->t->dead);

	if (!a)
		a = find_island(q, w->at, q->t->idle);
	if (!a)
		return false;
	p->form = PATCH_ISLAND;
	p->island = a;
	p->far_len = JMP_LEN;
	memcpy(p->island_orig, q->t->bytes + (a - q->t->lo), JMP_LEN);
	return true;
}

static void use_window(const struct ask *q, const struct window *w, u32 need, struct patch_plan *p)
{
	p->form = w->form;
	p->back = (u8)(q->site - w->at);
	p->first = w->first;
	p->wlen = w->len;
	p->patch_len = (u8)need;
	p->ninsn = w->ninsn;
	p->guarded = w->guarded;
	memcpy(p->insn_off, w->off, sizeof(p->insn_off));
	memcpy(p->orig, q->t->bytes + (w->at - q->t->lo), w->len);
}

/* The shortest window of at least `need` bytes that begins before the site. Whoever is between the patched bytes and the
 * site when they are written goes on there and is not seen this once. */
static bool back_window(const struct ask *q, u32 need, struct window *ret)
{
	if (bit_test(q->t->target, q->site - q->t->lo))
		return false;
	for (u32 back = 1; back <= PATCH_BACK_MAX && q->site - q->t->lo >= back; back++) {
		u64 at = q->site - back;

		if (bit_test(q->t->start, at - q->t->lo) && !bit_test(q->t->dead, at - q->t->lo) &&
		    !window_sigreturn(q->t, at, need) &&
		    !window_try(q, at, q->site, need, q->func_end ? q->func_end : q->t->hi, ret))
			return true;
	}
	return false;
}

/* The shortest window of at least `need` bytes that ends in front of the site: the site's instruction, which may fault,
 * stays where the runtime looks for it. */
static bool window_in_front(const struct ask *q, u32 need, struct window *ret)
{
	if (bit_test(q->t->target, q->site - q->t->lo))
		return false;
	for (u32 back = need; back <= PATCH_BACK_MAX && q->site - q->t->lo >= back; back++) {
		u64 at = q->site - back;

		if (bit_test(q->t->start, at - q->t->lo) && !bit_test(q->t->dead, at - q->t->lo) &&
		    !window_sigreturn(q->t, at, need) && !window_before(q, at, q->site, ret))
			return true;
	}
	return false;
}

static bool try_in_front(const struct ask *q, struct patch_plan *p)
{
	struct window w;

	if (window_in_front(q, JMP_LEN, &w)) {
		use_window(q, &w, JMP_LEN, p);
		return true;
	}
	if (!window_in_front(q, SHORT_LEN, &w))
		return false;
	use_window(q, &w, SHORT_LEN, p);
	return island_try(q, &w, p) || evict_try(q, &w, p);
}

static bool try_short(const struct ask *q, struct patch_plan *p)
{
	struct window w;

	if (back_window(q, JMP_LEN, &w)) {
		use_window(q, &w, JMP_LEN, p);
		return true;
	}
	if (!window_try(q, q->site, q->site, SHORT_LEN, q->func_end ? q->func_end : q->t->hi, &w)) {
		use_window(q, &w, SHORT_LEN, p);
		if (evict_try(q, &w, p))
			return true;
	}
	if (!back_window(q, SHORT_LEN, &w))
		return false;
	use_window(q, &w, SHORT_LEN, p);
	return island_try(q, &w, p) || evict_try(q, &w, p);
}

static enum patch_reason plan_plain(const struct ask *q, struct patch_plan *p)
{
	const u8 *bytes = q->t->bytes + (q->site - q->t->lo);
	u64 end = q->func_end ? q->func_end : q->t->hi;
	enum patch_reason r;
	struct x86_insn i;
	struct window w;

	if (bit_test(q->t->dead, q->site - q->t->lo) || bit_test(q->t->idle, q->site - q->t->lo)) /* may become an island */
		return PATCH_R_NOT_CODE;
	if (window_sigreturn(q->t, q->site, JMP_LEN))
		return PATCH_R_SIGRETURN;
	if (!x86_read_strict(bytes, q->t->hi - q->site, &i))
		return PATCH_R_UNDECODABLE;
	if (!bit_test(q->t->start, q->site - q->t->lo))
		return PATCH_R_MID_INSN;
	if (is_bad(&i))
		return PATCH_R_BAD_INSN;
	r = window_try(q, q->site, q->site, JMP_LEN, end, &w);
	if (!r) {
		use_window(q, &w, JMP_LEN, p);
		return PATCH_OK;
	}
	if (!window_try(q, q->site, q->site, SHORT_LEN, end, &w)) {
		use_window(q, &w, SHORT_LEN, p);
		if (island_try(q, &w, p))
			return PATCH_OK;
	}
	if (try_short(q, p) || (q->go && try_in_front(q, p)))
		return PATCH_OK;
	return r;
}

/* What needs no guard is better. */
static enum patch_reason plan_window(const struct ask *q, struct patch_plan *p)
{
	enum patch_reason r = plan_plain(q, p);
	struct ask guarded = *q;

	if (!r || !q->go)
		return r;
	guarded.guard = true;
	*p = (struct patch_plan){ .vaddr = q->site };
	return plan_plain(&guarded, p);
}

static bool is_entry(const struct patch_binary *b, s64 f, u64 site)
{
	bool fragment = false;

	if (f < 0 || b->desc.func[f].vaddr != site || b->info[f].flags & FUNC_LOOPS)
		return false;
	for (s64 k = f; k < b->desc.nfunc && b->desc.func[k].vaddr == site; k++)
		fragment |= b->desc.func[k].fragment;
	return !fragment;
}

/*
 * A function's entry and its `ret`s, which are probed for its return, must not take each other's place, whichever is asked
 * for first: each is planned as if the other were probed, too. If there is no room for both, the entry has it.
 */
static enum patch_reason plan_go(const struct ask *q, s64 f, struct patch_plan *p)
{
	const u8 *bytes = q->t->bytes + (q->site - q->t->lo);
	u64 start = f < 0 ? 0 : q->b->desc.func[f].vaddr, rets[PATCH_RETS_MAX];
	u64 left = q->t->hi - q->site;
	struct ask apart = *q;
	enum patch_reason r;
	u32 n = 0;

	if (f < 0 || q->site >= q->b->info[f].end)
		return PATCH_R_GO;
	r = go_refused(q->b, f, q->t->bytes + (start - q->t->lo), q->t->hi - start);
	if (r)
		return r;
	if (q->site != start) {
		apart.own = &start;
		apart.nown = 1;
		return plan_window(&apart, p);
	}
	if (memchr(bytes, 0xc3, left < NEAR_ENTRY ? left : NEAR_ENTRY) &&
	    !patch_function_rets(q->b, start, rets, PATCH_RETS_MAX, &n)) {
		apart.own = rets;
		apart.nown = n;
		if (!plan_window(&apart, p))
			return PATCH_OK;
		*p = (struct patch_plan){ .vaddr = q->site };
	}
	return plan_window(q, p);
}

/* The end of a function; where that would be too near and its last instruction leads on, behind the padding that comes next:
 * what is left of a body that the compiler knew to be unreachable. */
static u64 end_of(const struct text *t, u64 site, u64 end)
{
	struct x86_insn i;
	u64 a = site;

	if (end > t->hi)
		return t->hi;
	for (; a < end && end - site < JMP_LEN; a += i.len)
		if (!x86_read_strict(t->bytes + (a - t->lo), t->hi - a, &i) || !x86_relocated_falls_through(&i))
			return end;
	while (end - site < JMP_LEN && end < t->hi && !bit_test(t->dead, end - t->lo) && !bit_test(t->idle, end - t->lo) &&
	       x86_read_strict(t->bytes + (end - t->lo), t->hi - end, &i) && i.kind == X86_K_NOP)
		end += i.len;
	return end;
}

void patch_plan_site_avoiding(const struct patch_binary *b, u64 vaddr, const u64 *other_sites,
			      u32 nother, const struct patch_range *taken, u32 ntaken, struct patch_plan *ret)
{
	struct patch_plan p = { .vaddr = vaddr };
	const struct text *t = binary_text(b, vaddr);
	s64 f = t ? binary_func_at(b, vaddr) : -1;
	struct ask q = { .b = b, .t = t, .site = vaddr, .other = other_sites, .taken = taken,
			 .nother = nother, .ntaken = ntaken };
	enum patch_reason r = PATCH_R_NOT_CODE;
	bool go = false;

	if (t) {
		if (f >= 0 && b->info[f].end > vaddr)
			q.func_end = end_of(t, vaddr, b->info[f].end);
		r = window_taken(&q, vaddr, vaddr + 1) ? PATCH_R_OVERLAP : PATCH_OK;
		go = q.go = binary_is_go(b, vaddr);
		if (!r)
			r = go ? plan_go(&q, f, &p) : plan_window(&q, &p);
	}
	if (r) {
		*ret = (struct patch_plan){ .vaddr = vaddr, .reason = (u8)r, .ret_reason = (u8)r };
		return;
	}
	p.go = go;
	/* Most functions of Go jump back to their first instruction, from where the stack was grown: the flags are dead all the
	 * same, and the kernel too counts such a call twice. */
	p.entry = !p.back && (go ? b->desc.func[f].vaddr == vaddr : is_entry(b, f, vaddr));
	p.room = (u16)patch_relocated_size(&p);
	p.ret_reason = (u8)(p.go ? PATCH_R_GO : p.entry ? return_refused(b, f) : PATCH_R_NOT_ENTRY);
	*ret = p;
}

void patch_plan_site(const struct patch_binary *b, u64 vaddr, const u64 *other_sites, u32 nother,
		     struct patch_plan *ret)
{
	patch_plan_site_avoiding(b, vaddr, other_sites, nother, NULL, 0, ret);
}
