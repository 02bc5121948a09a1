/* SPDX-License-Identifier: MIT */
#include "patch/x86_64/window.h"

#include <string.h>

#include "base/bits.h"
#include "isa/x86_64/relocator.h"
#include "patch/x86_64/guard.h"

/* mov rax, 15; syscall: unwinders know a signal frame by these bytes at the return address. */
bool window_sigreturn(const struct text *t, u64 at, u32 n)
{
	static const u8 code[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	u64 a = at - t->lo < sizeof(code) - 1 ? t->lo : at - (sizeof(code) - 1);

	for (; a < at + n && t->hi - a >= sizeof(code); a++)
		if (t->bytes[a - t->lo] == code[0] &&
		    !memcmp(t->bytes + (a - t->lo), code, sizeof(code)))
			return true;
	return false;
}

/* First index with a[index] >= v. */
static u32 lower_bound(const u64 *a, u32 n, u64 v)
{
	u32 lo = 0;

	while (lo < n) {
		u32 mid = lo + (n - lo) / 2;

		if (a[mid] < v)
			lo = mid + 1;
		else
			n = mid;
	}
	return lo;
}

bool window_other(const struct ask *q, u64 lo, u64 hi)
{
	u32 i = q->other ? lower_bound(q->other, q->nother, lo) : 0;

	for (u32 k = 0; k < q->nown; k++)
		if (q->own[k] >= lo && q->own[k] < hi)
			return true;
	return q->other && i < q->nother && q->other[i] < hi;
}

bool window_taken(const struct ask *q, u64 lo, u64 hi)
{
	u32 a = 0, n = q->ntaken;

	while (a < n) { /* first range that ends behind lo */
		u32 mid = a + (n - a) / 2;

		if (q->taken[mid].hi <= lo)
			a = mid + 1;
		else
			n = mid;
	}
	return a < q->ntaken && q->taken[a].lo < hi;
}

/* Nothing executes [lo, hi): dead padding, or padding inside the function behind the end of the
 * flow. */
static bool is_padding(const struct text *t, u64 lo, u64 hi, bool in_func)
{
	struct x86_insn i;

	while (lo < hi) {
		if (bit_test(t->dead, lo - t->lo)) {
			lo++;
			continue;
		}
		if (!in_func || !x86_read_strict(t->bytes + (lo - t->lo), t->hi - lo, &i))
			return false;
		if (i.kind != X86_K_NOP && !(i.opcode == 0xcc && i.len == 1))
			return false;
		lo += i.len;
	}
	return true;
}

/* Displaced, these would report an address that nobody knows: a debugger's or a runtime's trap. */
static bool is_trap(const struct x86_insn *i)
{
	return i->map == X86_MAP_ONE &&
	       (i->opcode == 0xcc || i->opcode == 0xcd || i->opcode == 0xf1 || i->opcode == 0xf4);
}

/* May this instruction stand before the site in its window? Control must come from it to the site, and only so. */
static bool leads_on(const struct x86_insn *i)
{
	return x86_relocated_falls_through(i) && i->kind != X86_K_XBEGIN;
}

static bool moves_sp(const struct x86_insn *i)
{
	if (i->map != X86_MAP_ONE)
		return false;
	return (i->opcode >= 0x50 && i->opcode <= 0x57) ||
	       ((i->opcode == 0x81 || i->opcode == 0x83) && (i->modrm & 0xc7) == 0xc4);
}

bool window_function(const struct patch_binary *b, u64 addr)
{
	s64 f = binary_func_at(b, addr);

	return f >= 0 && b->desc.func[f].vaddr == addr;
}

static enum patch_reason take_insn(const struct ask *q, struct window *w, u64 a, u64 site, u64 end, struct x86_insn *i)
{
	const u8 *bytes = q->t->bytes + (a - q->t->lo);

	if (w->ninsn == PATCH_INSNS_MAX || a >= end || !x86_read_strict(bytes, end - a, i))
		return PATCH_R_UNDECODABLE;
	if ((a != site && is_trap(i)) || !x86_can_relocate(bytes, i))
		return PATCH_R_RELOCATE;
	if (a < site && (!leads_on(i) || a + i->len > site))
		return PATCH_R_TOO_SHORT;
	if (q->go && w->moved_sp && nil_may_fault(q->t, a, i)) {
		if (!q->guard || !guard_possible(bytes, i))
			return PATCH_R_GO_FAULT;
		w->guarded |= (u16)(1u << w->ninsn);
	}
	w->moved_sp |= moves_sp(i);
	if (a == site)
		w->first = w->ninsn;
	w->off[w->ninsn++] = (u8)(a - w->at);
	w->has_syscall |= i->map == X86_MAP_0F && (i->opcode == 0x05 || i->opcode == 0x34);
	w->ends_flow = x86_ends_flow(i);
	return PATCH_OK;
}

static enum patch_reason take_insns(const struct ask *q, struct window *w, u64 site, u32 need, u64 end)
{
	u32 off = 0;

	while ((off < need || w->at + off <= site) && !w->ends_flow && w->at + off < end) {
		enum patch_reason r;
		struct x86_insn i;

		r = take_insn(q, w, w->at + off, site, end, &i);
		if (r)
			return r;
		off += i.len;
		if (off < need && (i.kind == X86_K_CALL || i.kind == X86_K_CALL_IND))
			return PATCH_R_CALL_INSIDE;
		if (w->ninsn == 1 && off >= need)
			w->form = i.kind == X86_K_NOP && need == JMP_LEN && w->at == site ? PATCH_NOP5 : PATCH_JMP;
	}
	w->len = (u8)off;
	return PATCH_OK;
}

enum patch_reason window_try(const struct ask *q, u64 at, u64 site, u32 need, u64 end, struct window *ret)
{
	struct window w = { .at = at, .form = PATCH_JMP_N, .moved_sp = !window_function(q->b, at) };
	const struct text *t = q->t;
	enum patch_reason r;

	if (t->hi - at < need)
		return PATCH_R_TOO_SHORT;
	r = take_insns(q, &w, site, need, end);
	if (r)
		return r;
	if (bit_range(t->target, at + 1 - t->lo, (u32)bits_max(need - 1, site - at)))
		return PATCH_R_JUMP_INSIDE;
	if (window_other(q, at, site) || window_other(q, site + 1, at + need))
		return PATCH_R_OVERLAP;
	if (w.len < need) {
		if (!w.ends_flow || !is_padding(t, at + w.len, at + need, end > at + w.len))
			return PATCH_R_TOO_SHORT;
		w.form = PATCH_PAD;
		w.len = (u8)need;
	}
	if (window_taken(q, at, at + w.len))
		return PATCH_R_OVERLAP;
	*ret = w;
	return PATCH_OK;
}

enum patch_reason window_before(const struct ask *q, u64 at, u64 site, struct window *ret)
{
	struct window w = { .at = at, .form = PATCH_JMP_N, .moved_sp = !window_function(q->b, at) };

	for (u64 a = at; a < site;) {
		struct x86_insn i;
		enum patch_reason r = take_insn(q, &w, a, site, site, &i);

		if (r)
			return r;
		a += i.len;
	}
	if (bit_range(q->t->target, at + 1 - q->t->lo, (u32)(site - at)))
		return PATCH_R_JUMP_INSIDE;
	if (window_other(q, at, site) || window_taken(q, at, site))
		return PATCH_R_OVERLAP;
	w.form = w.ninsn == 1 ? PATCH_JMP : PATCH_JMP_N;
	w.first = w.ninsn;
	w.len = (u8)(site - at);
	*ret = w;
	return PATCH_OK;
}
