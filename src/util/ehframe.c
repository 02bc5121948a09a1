/* SPDX-License-Identifier: MIT */
#include "util/ehframe.h"

#include <errno.h>
#include <string.h>

#include "util/dwarf.h"

struct cie {
	u8 fde_enc, lsda_enc;
	bool has_aug, signal, valid;
	u32 code_align;
	struct dwarf_cur insns;
};

static void cie_augmentation(struct dwarf_cur *c, const char *aug, struct cie *ret)
{
	u64 n = dwarf_uleb(c);
	struct dwarf_cur a = *c;

	if (!dwarf_take(c, n))
		return;
	a.end = c->p;
	for (; *aug; aug++)
		switch (*aug) {
		case 'R': ret->fde_enc = (u8)dwarf_uint(&a, 1); break;
		case 'L': ret->lsda_enc = (u8)dwarf_uint(&a, 1); break;
		case 'P': {
			u8 enc = (u8)dwarf_uint(&a, 1);

			dwarf_pointer(&a, enc & DW_PE_FORMAT); /* skipped, only its size matters */
			break;
		}
		case 'S': ret->signal = true; break;
		case 'B': case 'G': break;
		default: return; /* not understood; skipped by its length */
		}
	c->bad |= a.bad;
}

static struct cie read_cie(struct dwarf_cur c)
{
	struct cie ret = { .fde_enc = 0, .lsda_enc = DW_PE_OMIT };
	const char *aug;
	u8 version;

	dwarf_take(&c, 4); /* id */
	version = (u8)dwarf_uint(&c, 1);
	aug = (const char *)c.p;
	if (!memchr(c.p, 0, (size_t)(c.end - c.p)))
		return ret;
	dwarf_take(&c, strlen(aug) + 1);
	if (version == 4)
		dwarf_take(&c, 2);
	ret.code_align = (u32)dwarf_uleb(&c);
	dwarf_sleb(&c);
	if (version == 1)
		dwarf_take(&c, 1);
	else
		dwarf_uleb(&c);
	if (*aug == 'z') {
		ret.has_aug = true;
		cie_augmentation(&c, aug + 1, &ret);
	} else if (*aug) {
		return ret;
	}
	ret.insns = c;
	ret.valid = !c.bad && (version == 1 || version == 3 || version == 4);
	return ret;
}

enum { DWARF_RA = 16 };

struct cfa {
	u64 reg, off;
	bool expr;
	bool no_return; /* there is no return address */
};

/* Runs call frame instructions up to the first that is about a later address, and behind that: how much later is in
 * *ret_step (63: or more; 0: there is none). False: one we do not know. */
static bool run_cfa(struct dwarf_cur *from, struct cfa *cfa, u32 *ret_step)
{
	struct dwarf_cur c = *from;

	*ret_step = 0;
	while (c.p < c.end && !c.bad) {
		u8 op = (u8)dwarf_uint(&c, 1);

		if (op >> 6 == 1) { /* advance_loc */
			*ret_step = op & 63;
			*from = c;
			return true;
		}
		if (op >> 6 == 2) {
			dwarf_uleb(&c);
			continue;
		}
		if (op >> 6 == 3)
			continue;
		switch (op) {
		case 0x00: case 0x0a: case 0x0b: case 0x2d: break;
		case 0x01: case 0x02: case 0x03: case 0x04: *ret_step = 63; return true;
		case 0x05: case 0x09: case 0x14: dwarf_uleb(&c); dwarf_uleb(&c); break;
		case 0x06: case 0x08: case 0x2e: dwarf_uleb(&c); break;
		case 0x07: cfa->no_return |= dwarf_uleb(&c) == DWARF_RA; break; /* undefined */
		case 0x0c:
			cfa->reg = dwarf_uleb(&c);
			cfa->off = dwarf_uleb(&c);
			cfa->expr = false;
			break;
		case 0x0d: cfa->reg = dwarf_uleb(&c); break;
		case 0x0e: cfa->off = dwarf_uleb(&c); break;
		case 0x0f: cfa->expr = true; dwarf_take(&c, dwarf_uleb(&c)); break;
		case 0x10: case 0x16: dwarf_uleb(&c); dwarf_take(&c, dwarf_uleb(&c)); break;
		case 0x11: case 0x15: dwarf_uleb(&c); dwarf_sleb(&c); break;
		default: return false;
		}
	}
	return !c.bad;
}

/* At a function's entry the return address is at [rsp] and the CFA is rsp + 8. Where a process or a thread begins there is
 * none. Compilers begin a piece whose first instruction is a landing pad with a nop, where they describe an entry, and
 * then a whole frame; but there is no instruction of one byte that pushes more than a word. */
static bool is_fragment(const struct cie *cie, struct dwarf_cur insns)
{
	const u64 dwarf_rsp = 7;
	struct dwarf_cur first = cie->insns;
	struct cfa cfa = { 0 };
	u32 step;

	if (!run_cfa(&first, &cfa, &step) || !run_cfa(&insns, &cfa, &step))
		return true;
	if (cfa.no_return || cfa.expr || cfa.reg != dwarf_rsp || cfa.off != 8)
		return true;
	if (step * cie->code_align != 1)
		return false;
	return run_cfa(&insns, &cfa, &step) && (cfa.expr || cfa.reg != dwarf_rsp || cfa.off > 16);
}

/* c starts at the FDE's CIE pointer; false = broken. */
static bool read_fde(struct dwarf_cur c, const struct cie *cie, struct util_fde *ret)
{
	*ret = (struct util_fde){ .signal = cie->signal };
	dwarf_take(&c, 4);
	ret->start = dwarf_pointer(&c, cie->fde_enc);
	ret->size = dwarf_pointer(&c, cie->fde_enc & DW_PE_FORMAT);
	if (cie->has_aug) {
		u64 n = dwarf_uleb(&c);
		struct dwarf_cur a = c;

		if (!dwarf_take(&c, n))
			return false;
		a.end = c.p;
		if (cie->lsda_enc != DW_PE_OMIT && !(cie->lsda_enc & DW_PE_INDIRECT))
			ret->lsda = dwarf_pointer(&a, cie->lsda_enc);
		if (a.bad)
			return false;
	}
	if (c.bad)
		return false;
	ret->fragment = is_fragment(cie, c);
	return true;
}

int util_ehframe_walk(const struct util_eh_section *eh,
		      void (*visit)(const struct util_fde *fde, void *arg), void *arg)
{
	struct dwarf_cur c = { eh->bytes, eh->bytes + eh->size, eh->vaddr, false };
	u64 cie_at = ~0ull;
	struct cie cie = { 0 };

	while (c.end - c.p >= 4) {
		u64 len = dwarf_uint(&c, 4), id_at;
		struct dwarf_cur body;
		u32 id;

		if (!len)
			break;
		if (len == 0xffffffff)
			len = dwarf_uint(&c, 8);
		id_at = (u64)(c.p - eh->bytes);
		body = c;
		if (len < 4 || !dwarf_take(&c, len))
			return -EBADMSG;
		body.end = c.p;
		memcpy(&id, body.p, 4);
		if (!id)
			continue; /* a CIE: read when an FDE names it */
		if (id > id_at)
			return -EBADMSG;
		if (id_at - id != cie_at) {
			struct dwarf_cur k = { eh->bytes + (id_at - id), eh->bytes + eh->size,
					 eh->vaddr + (id_at - id), false };
			u64 n = dwarf_uint(&k, 4);

			if (n == 0xffffffff)
				n = dwarf_uint(&k, 8);
			if (k.bad || n > (u64)(k.end - k.p))
				return -EBADMSG;
			k.end = k.p + n;
			cie = read_cie(k);
			cie_at = id_at - id;
		}
		if (cie.valid) {
			struct util_fde fde;

			if (!read_fde(body, &cie, &fde))
				return -EBADMSG;
			if (fde.size)
				visit(&fde, arg);
		}
	}
	return 0;
}

int util_lsda_walk(const struct util_eh_section *table, u64 lsda, u64 func,
		   void (*visit)(u64 pad, void *arg), void *arg)
{
	struct dwarf_cur c = { table->bytes, table->bytes + table->size, table->vaddr, false };
	u8 enc, site_enc;
	u64 base = func, len;

	if (lsda < table->vaddr || !dwarf_take(&c, lsda - table->vaddr))
		return -EBADMSG;
	enc = (u8)dwarf_uint(&c, 1);
	if (enc != DW_PE_OMIT) {
		u64 v = dwarf_pointer(&c, enc);

		if (v)
			base = v;
	}
	enc = (u8)dwarf_uint(&c, 1);
	if (enc != DW_PE_OMIT)
		dwarf_uleb(&c);
	site_enc = (u8)dwarf_uint(&c, 1) & DW_PE_FORMAT;
	len = dwarf_uleb(&c);
	if (c.bad || len > (u64)(c.end - c.p))
		return -EBADMSG;
	c.end = c.p + len;
	while (c.p < c.end && !c.bad) {
		u64 pad;

		dwarf_pointer(&c, site_enc);
		dwarf_pointer(&c, site_enc);
		pad = dwarf_pointer(&c, site_enc);
		dwarf_uleb(&c);
		if (!c.bad && pad)
			visit(base + pad, arg);
	}
	return c.bad ? -EBADMSG : 0;
}
