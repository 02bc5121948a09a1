/* SPDX-License-Identifier: MIT */
#include "util/ehframe.h"

#include <errno.h>
#include <string.h>

/* A cursor that cannot leave its bytes; a read beyond the end sets bad and gives 0. */
struct cur {
	const u8 *p, *end;
	u64 vaddr; /* of p */
	bool bad;
};

static const u8 *take(struct cur *c, u64 n)
{
	const u8 *p = c->p;

	if (n > (u64)(c->end - c->p)) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	c->vaddr += n;
	return p;
}

static u64 take_uint(struct cur *c, u32 n)
{
	const u8 *p = take(c, n);
	u64 v = 0;

	for (u32 i = 0; p && i < n; i++)
		v |= (u64)p[i] << (8 * i);
	return v;
}

static u64 take_uleb(struct cur *c)
{
	u64 v = 0;
	u8 b = 0x80;

	for (u32 shift = 0; b & 0x80 && !c->bad; shift += 7) {
		b = (u8)take_uint(c, 1);
		if (shift < 64)
			v |= (u64)(b & 0x7f) << shift;
	}
	return v;
}

static s64 take_sleb(struct cur *c)
{
	u64 v = 0;
	u32 shift = 0;
	u8 b = 0x80;

	for (; b & 0x80 && !c->bad; shift += 7) {
		b = (u8)take_uint(c, 1);
		if (shift < 64)
			v |= (u64)(b & 0x7f) << shift;
	}
	if (b & 0x40 && shift < 64)
		v |= ~0ull << shift;
	return (s64)v;
}

enum {
	PE_OMIT = 0xff,
	PE_INDIRECT = 0x80,
	PE_PCREL = 0x10,
	PE_APPLICATION = 0x70,
	PE_FORMAT = 0x0f
};

/* A pointer in DW_EH_PE encoding; 0 stays 0 whatever it is relative to. */
static u64 take_pointer(struct cur *c, u8 enc)
{
	u64 at = c->vaddr, v;

	switch (enc & PE_FORMAT) {
	case 0x00: case 0x04: case 0x0c: v = take_uint(c, 8); break;
	case 0x01: v = take_uleb(c); break;
	case 0x02: v = take_uint(c, 2); break;
	case 0x03: v = take_uint(c, 4); break;
	case 0x09: v = (u64)take_sleb(c); break;
	case 0x0a: v = (u64)(s64)(s16)take_uint(c, 2); break;
	case 0x0b: v = (u64)(s64)(s32)take_uint(c, 4); break;
	default: c->bad = true; return 0;
	}
	if (!v)
		return 0;
	switch (enc & PE_APPLICATION) {
	case 0: return v;
	case PE_PCREL: return at + v;
	default:
		c->bad = true;
		return 0; /* relative to text, data, function: not used on this machine */
	}
}

struct cie {
	u8 fde_enc, lsda_enc;
	bool has_aug, signal, valid;
	struct cur insns;
};

static void cie_augmentation(struct cur *c, const char *aug, struct cie *ret)
{
	u64 n = take_uleb(c);
	struct cur a = *c;

	if (!take(c, n))
		return;
	a.end = c->p;
	for (; *aug; aug++)
		switch (*aug) {
		case 'R': ret->fde_enc = (u8)take_uint(&a, 1); break;
		case 'L': ret->lsda_enc = (u8)take_uint(&a, 1); break;
		case 'P': {
			u8 enc = (u8)take_uint(&a, 1);

			take_pointer(&a, enc & PE_FORMAT); /* skipped, only its size matters */
			break;
		}
		case 'S': ret->signal = true; break;
		case 'B': case 'G': break;
		default: return; /* not understood; skipped by its length */
		}
	c->bad |= a.bad;
}

static struct cie read_cie(struct cur c)
{
	struct cie ret = { .fde_enc = 0, .lsda_enc = PE_OMIT };
	const char *aug;
	u8 version;

	take(&c, 4); /* id */
	version = (u8)take_uint(&c, 1);
	aug = (const char *)c.p;
	if (!memchr(c.p, 0, (size_t)(c.end - c.p)))
		return ret;
	take(&c, strlen(aug) + 1);
	if (version == 4)
		take(&c, 2);
	take_uleb(&c);
	take_sleb(&c);
	if (version == 1)
		take(&c, 1);
	else
		take_uleb(&c);
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

struct cfa {
	u64 reg, off;
	bool expr;
};

/* Runs call frame instructions up to the first that is about a later address; false: one we do not
 * know. */
static bool run_cfa(struct cur c, struct cfa *cfa)
{
	while (c.p < c.end && !c.bad) {
		u8 op = (u8)take_uint(&c, 1);

		if (op >> 6 == 1) /* advance_loc */
			return true;
		if (op >> 6 == 2) {
			take_uleb(&c);
			continue;
		}
		if (op >> 6 == 3)
			continue;
		switch (op) {
		case 0x00: case 0x0a: case 0x0b: case 0x2d: break;
		case 0x01: case 0x02: case 0x03: case 0x04: return true;
		case 0x05: case 0x09: case 0x14: take_uleb(&c); take_uleb(&c); break;
		case 0x06: case 0x07: case 0x08: case 0x2e: take_uleb(&c); break;
		case 0x0c:
			cfa->reg = take_uleb(&c);
			cfa->off = take_uleb(&c);
			cfa->expr = false;
			break;
		case 0x0d: cfa->reg = take_uleb(&c); break;
		case 0x0e: cfa->off = take_uleb(&c); break;
		case 0x0f: cfa->expr = true; take(&c, take_uleb(&c)); break;
		case 0x10: case 0x16: take_uleb(&c); take(&c, take_uleb(&c)); break;
		case 0x11: case 0x15: take_uleb(&c); take_sleb(&c); break;
		default: return false;
		}
	}
	return !c.bad;
}

/* At a function's entry the return address is at [rsp] and the CFA is rsp + 8. */
static bool is_fragment(const struct cie *cie, struct cur insns)
{
	const u64 dwarf_rsp = 7;
	struct cfa cfa = { 0 };

	if (!run_cfa(cie->insns, &cfa) || !run_cfa(insns, &cfa))
		return true;
	return cfa.expr || cfa.reg != dwarf_rsp || cfa.off != 8;
}

/* c starts at the FDE's CIE pointer; false = broken. */
static bool read_fde(struct cur c, const struct cie *cie, struct util_fde *ret)
{
	*ret = (struct util_fde){ .signal = cie->signal };
	take(&c, 4);
	ret->start = take_pointer(&c, cie->fde_enc);
	ret->size = take_pointer(&c, cie->fde_enc & PE_FORMAT);
	if (cie->has_aug) {
		u64 n = take_uleb(&c);
		struct cur a = c;

		if (!take(&c, n))
			return false;
		a.end = c.p;
		if (cie->lsda_enc != PE_OMIT && !(cie->lsda_enc & PE_INDIRECT))
			ret->lsda = take_pointer(&a, cie->lsda_enc);
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
	struct cur c = { eh->bytes, eh->bytes + eh->size, eh->vaddr, false };
	u64 cie_at = ~0ull;
	struct cie cie = { 0 };

	while (c.end - c.p >= 4) {
		u64 len = take_uint(&c, 4), id_at;
		struct cur body;
		u32 id;

		if (!len)
			break;
		if (len == 0xffffffff)
			len = take_uint(&c, 8);
		id_at = (u64)(c.p - eh->bytes);
		body = c;
		if (len < 4 || !take(&c, len))
			return -EBADMSG;
		body.end = c.p;
		memcpy(&id, body.p, 4);
		if (!id)
			continue; /* a CIE: read when an FDE names it */
		if (id > id_at)
			return -EBADMSG;
		if (id_at - id != cie_at) {
			struct cur k = { eh->bytes + (id_at - id), eh->bytes + eh->size,
					 eh->vaddr + (id_at - id), false };
			u64 n = take_uint(&k, 4);

			if (n == 0xffffffff)
				n = take_uint(&k, 8);
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
	struct cur c = { table->bytes, table->bytes + table->size, table->vaddr, false };
	u8 enc, site_enc;
	u64 base = func, len;

	if (lsda < table->vaddr || !take(&c, lsda - table->vaddr))
		return -EBADMSG;
	enc = (u8)take_uint(&c, 1);
	if (enc != PE_OMIT) {
		u64 v = take_pointer(&c, enc);

		if (v)
			base = v;
	}
	enc = (u8)take_uint(&c, 1);
	if (enc != PE_OMIT)
		take_uleb(&c);
	site_enc = (u8)take_uint(&c, 1) & PE_FORMAT;
	len = take_uleb(&c);
	if (c.bad || len > (u64)(c.end - c.p))
		return -EBADMSG;
	c.end = c.p + len;
	while (c.p < c.end && !c.bad) {
		u64 pad;

		take_pointer(&c, site_enc);
		take_pointer(&c, site_enc);
		pad = take_pointer(&c, site_enc);
		take_uleb(&c);
		if (!c.bad && pad)
			visit(base + pad, arg);
	}
	return c.bad ? -EBADMSG : 0;
}
