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
 * Forms are tried from best to worst: window of 5 (a nop; one instruction; several; several and
 * dead padding), then a window of 2 with a short jump to an island. The island's 5 bytes lie in
 * dead padding, but never in the first 4 bytes of it: those may belong to the window of the
 * function in front.
 */
#include "patch/x86_64/binary.h"

#include <string.h>

#include "isa/x86_64/reader.h"
#include "isa/x86_64/relocator.h"

enum { JMP_LEN = 5, SHORT_LEN = 2, PAD_WINDOW = JMP_LEN - 1 };

struct ask {
	const struct patch_binary *b;
	const struct text *t;
	u64 site;
	u64 func_end; /* 0 = not known */
	const u64 *other, *islands;
	u32 nother, nislands;
};

/* mov rax, 15; syscall: unwinders know a signal frame by these bytes at the return address. */
static bool covers_sigreturn(const struct text *t, u64 site, u32 n)
{
	static const u8 code[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	u64 a = site - t->lo < sizeof(code) - 1 ? t->lo : site - (sizeof(code) - 1);

	for (; a < site + n && t->hi - a >= sizeof(code); a++)
		if (t->bytes[a - t->lo] == code[0] &&
		    !memcmp(t->bytes + (a - t->lo), code, sizeof(code)))
			return true;
	return false;
}

/* Exactly what uprobes of kernel 6.18 refuse (arch/x86/kernel/uprobes.c: good_insns_64 and the bad
 * prefixes; compared with a running kernel, opcode by opcode). */
static bool kernel_refuses(const struct x86_insn *i)
{
	if (i->prefix & (X86_P_LOCK | X86_P_SEG))
		return true;
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

/* Displaced, these would report an address that nobody knows: a debugger's or a runtime's trap. */
static bool is_trap(const struct x86_insn *i)
{
	return i->map == X86_MAP_ONE &&
	       (i->opcode == 0xcc || i->opcode == 0xcd || i->opcode == 0xf1 || i->opcode == 0xf4);
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

static bool has_value(const u64 *a, u32 n, u64 lo, u64 hi)
{
	u32 i = a ? lower_bound(a, n, lo) : 0;

	return a && i < n && a[i] < hi;
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

/* Fills p with the window whose first `need` bytes are patched. */
static enum patch_reason try_window(const struct ask *q, u32 need, struct patch_plan *p)
{
	const struct text *t = q->t;
	u64 end = q->func_end ? q->func_end : t->hi;
	bool ended = false;
	u32 off = 0;

	p->ninsn = 0;
	p->form = PATCH_JMP_N;
	if (t->hi - q->site < need)
		return PATCH_R_TOO_SHORT;
	while (off < need && !ended && q->site + off < end) {
		u64 a = q->site + off;
		struct x86_insn i;

		if (!x86_read_strict(t->bytes + (a - t->lo), end - a, &i))
			return PATCH_R_UNDECODABLE;
		if ((off && is_trap(&i)) || !x86_can_relocate(t->bytes + (a - t->lo), &i))
			return PATCH_R_RELOCATE;
		p->insn_off[p->ninsn++] = (u8)off;
		off += i.len;
		ended = x86_ends_flow(&i);
		if (off < need && (i.kind == X86_K_CALL || i.kind == X86_K_CALL_IND))
			return PATCH_R_CALL_INSIDE;
		if (!(p->ninsn - 1) && off >= need)
			p->form = i.kind == X86_K_NOP && need == JMP_LEN ? PATCH_NOP5 : PATCH_JMP;
	}
	if (bit_range(t->target, q->site + 1 - t->lo, need - 1))
		return PATCH_R_JUMP_INSIDE;
	if (has_value(q->other, q->nother, q->site + 1, q->site + need))
		return PATCH_R_OVERLAP;
	if (off < need) {
		if (!ended ||
		    !is_padding(t, q->site + off, q->site + need, q->func_end > q->site + off))
			return PATCH_R_TOO_SHORT;
		p->form = PATCH_PAD;
		off = need;
	}
	p->wlen = (u8)off;
	p->patch_len = (u8)need;
	return PATCH_OK;
}

static bool island_free(const struct ask *q, u64 a)
{
	const u32 n = PAD_WINDOW + JMP_LEN;
	const struct text *t = q->t;

	if (a < t->lo + PAD_WINDOW || a > t->hi || t->hi - a < JMP_LEN)
		return false;
	if (bit_range(t->dead, a - PAD_WINDOW - t->lo, n) != (1u << n) - 1)
		return false;
	return !has_value(q->islands, q->nislands, a - (JMP_LEN - 1), a + JMP_LEN);
}

/* The nearest free place that `jmp rel8` at the site reaches; forward first. 0 = none. */
static u64 find_island(const struct ask *q)
{
	u64 from = q->site + SHORT_LEN;

	for (u32 d = 0; d <= 128; d++) {
		if (d < 128 && island_free(q, from + d))
			return from + d;
		if (from >= d && island_free(q, from - d))
			return from - d;
	}
	return 0;
}

static bool try_island(const struct ask *q, struct patch_plan *p)
{
	u64 a;

	if (try_window(q, SHORT_LEN, p))
		return false;
	a = find_island(q);
	if (!a)
		return false;
	p->form = PATCH_ISLAND;
	p->island = a;
	memcpy(p->island_orig, q->t->bytes + (a - q->t->lo), JMP_LEN);
	return true;
}

static enum patch_reason plan_window(const struct ask *q, struct patch_plan *p)
{
	const u8 *bytes = q->t->bytes + (q->site - q->t->lo);
	enum patch_reason r;
	struct x86_insn i;

	if (q->b->desc.is_go)
		return PATCH_R_GO;
	if (bit_test(q->t->dead, q->site - q->t->lo)) /* may become somebody's island */
		return PATCH_R_NOT_CODE;
	if (covers_sigreturn(q->t, q->site, JMP_LEN))
		return PATCH_R_SIGRETURN;
	if (!x86_read_strict(bytes, q->t->hi - q->site, &i))
		return PATCH_R_UNDECODABLE;
	if (!bit_test(q->t->start, q->site - q->t->lo))
		return PATCH_R_MID_INSN;
	if (kernel_refuses(&i))
		return PATCH_R_BAD_INSN;
	r = try_window(q, JMP_LEN, p);
	if (r && !try_island(q, p))
		return r;
	memcpy(p->orig, bytes, p->wlen);
	return PATCH_OK;
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

void patch_plan_site_avoiding(const struct patch_binary *b, u64 vaddr, const u64 *other_sites,
			      u32 nother, const u64 *islands, u32 nislands, struct patch_plan *ret)
{
	struct patch_plan p = { .vaddr = vaddr };
	const struct text *t = binary_text(b, vaddr);
	s64 f = t ? binary_func_at(b, vaddr) : -1;
	struct ask q = { .b = b, .t = t, .site = vaddr, .other = other_sites, .islands = islands,
			 .nother = nother, .nislands = nislands };
	enum patch_reason r = PATCH_R_NOT_CODE;

	if (t) {
		if (f >= 0 && b->info[f].end > vaddr)
			q.func_end = b->info[f].end < t->hi ? b->info[f].end : t->hi;
		r = plan_window(&q, &p);
	}
	if (r) {
		*ret = (struct patch_plan){ .vaddr = vaddr, .reason = (u8)r, .ret_reason = (u8)r };
		return;
	}
	p.entry = is_entry(b, f, vaddr);
	p.ret_reason = (u8)(p.entry ? return_refused(b, f) : PATCH_R_NOT_ENTRY);
	*ret = p;
}

void patch_plan_site(const struct patch_binary *b, u64 vaddr, const u64 *other_sites, u32 nother,
		     struct patch_plan *ret)
{
	patch_plan_site_avoiding(b, vaddr, other_sites, nother, NULL, 0, ret);
}
