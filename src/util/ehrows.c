/* SPDX-License-Identifier: MIT */
/*
 * Where .eh_frame is in a file, its CIEs and FDEs, and the table that comes out: sorted, with what each row says run from
 * their instructions (ehrun.c).
 */
#include "util/ehrows.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "util/dwarf.h"
#include "util/ehrun.h"

static bool read_augmentation(struct dwarf_cur *c, const char *aug, struct ehrun_cie *ret)
{
	u64 n = dwarf_uleb(c);
	struct dwarf_cur a = *c;

	if (!dwarf_take(c, n))
		return false;
	a.end = c->p;
	for (; *aug; aug++)
		switch (*aug) {
		case 'R': ret->fde_enc = (u8)dwarf_uint(&a, 1); break;
		case 'L': dwarf_uint(&a, 1); break;
		case 'P': dwarf_pointer(&a, (u8)(dwarf_uint(&a, 1) & DW_PE_FORMAT)); break;
		case 'S': ret->signal = true; break;
		case 'B': case 'G': break;
		default: return !a.bad;
		}
	return !a.bad;
}

/* c stands at the id. */
static struct ehrun_cie read_cie(struct dwarf_cur c)
{
	struct ehrun_cie ret = { .fde_enc = 0 };
	const char *aug;
	u8 version;

	dwarf_take(&c, 4);
	version = (u8)dwarf_uint(&c, 1);
	aug = (const char *)c.p;
	if (!memchr(c.p, 0, (size_t)(c.end - c.p)))
		return ret;
	dwarf_take(&c, strlen(aug) + 1);
	ret.code_align = dwarf_uleb(&c);
	ret.data_align = dwarf_sleb(&c);
	if ((version == 1 ? dwarf_uint(&c, 1) : dwarf_uleb(&c)) != EHRUN_COL_RIP || (version != 1 && version != 3))
		return ret;
	ret.has_aug = *aug == 'z';
	if (ret.has_aug ? !read_augmentation(&c, aug + 1, &ret) : *aug)
		return ret;
	ret.insns = c;
	ret.valid = !c.bad && ret.code_align;
	return ret;
}

/* c stands behind the CIE pointer. */
static void read_fde(struct ehrun_table *t, const struct ehrun_cie *cie, struct dwarf_cur c)
{
	u64 start = dwarf_pointer(&c, cie->fde_enc), size = dwarf_pointer(&c, cie->fde_enc & DW_PE_FORMAT);

	if (cie->has_aug)
		dwarf_take(&c, dwarf_uleb(&c));
	if (!c.bad && size && start + size > start)
		ehrun_fde(t, cie, c, start, size);
}

static int read_all(struct ehrun_table *t, struct dwarf_cur c)
{
	const u8 *section = c.p;
	u64 vaddr = c.vaddr, cie_at = ~0ull;
	struct ehrun_cie cie = { 0 };

	while (c.end - c.p >= 4 && !t->error) {
		u64 len = dwarf_uint(&c, 4), at, id;
		struct dwarf_cur body;

		if (!len)
			break;
		if (len == 0xffffffff)
			len = dwarf_uint(&c, 8);
		at = (u64)(c.p - section);
		body = c;
		if (len < 4 || !dwarf_take(&c, len))
			return -EBADMSG;
		body.end = c.p;
		id = dwarf_uint(&body, 4);
		if (!id)
			continue;
		if (id > at)
			return -EBADMSG;
		if (at - id != cie_at) {
			struct dwarf_cur k = { section + (at - id), c.end, vaddr + (at - id), false };
			u64 n = dwarf_uint(&k, 4);

			if (n == 0xffffffff)
				n = dwarf_uint(&k, 8);
			if (k.bad || n > (u64)(k.end - k.p))
				return -EBADMSG;
			k.end = k.p + n;
			cie = read_cie(k);
			cie_at = at - id;
		}
		if (cie.valid)
			read_fde(t, &cie, body);
	}
	return t->error;
}

/* An end marker yields to the start of what follows it. */
static int row_compare(const void *a, const void *b)
{
	const struct nt_unwind_row *x = a, *y = b;

	if (x->pc != y->pc)
		return x->pc < y->pc ? -1 : 1;
	return (x->kind != NT_UNWIND_NONE) - (y->kind != NT_UNWIND_NONE);
}

static void table_sort(struct ehrun_table *t)
{
	u32 n = 0;

	if (!t->n)
		return;
	qsort(t->row, t->n, sizeof(*t->row), row_compare);
	for (u32 i = 0; i < t->n; i++) {
		struct nt_unwind_row *r = &t->row[i], *last = n ? &t->row[n - 1] : NULL;

		if (last && last->pc == r->pc)
			*last = *r;
		else if (!last || last->kind != r->kind || last->rbp != r->rbp || last->off != r->off)
			t->row[n++] = *r;
	}
	t->n = n;
}

/* The bytes of a loaded address up to the end of its segment. */
static struct dwarf_cur segment_at(const u8 *bytes, u64 size, const Elf64_Phdr *ph, u32 n, u64 vaddr)
{
	for (u32 i = 0; i < n; i++) {
		u64 off = vaddr - ph[i].p_vaddr;

		if (ph[i].p_type != PT_LOAD || vaddr < ph[i].p_vaddr || off >= ph[i].p_filesz || ph[i].p_offset > size ||
		    ph[i].p_filesz > size - ph[i].p_offset)
			continue;
		return (struct dwarf_cur){ bytes + ph[i].p_offset + off, bytes + ph[i].p_offset + ph[i].p_filesz, vaddr, false };
	}
	return (struct dwarf_cur){ .bad = true };
}

static void find_code(const Elf64_Phdr *ph, u32 n, u64 base, struct util_ehrows *ret)
{
	for (u32 i = 0; i < n && ret->nsegs < UTIL_EHROWS_SEGS; i++) {
		u64 in_page = ph[i].p_vaddr % NT_PAGE;

		if (ph[i].p_type != PT_LOAD || !(ph[i].p_flags & PF_X) || ph[i].p_offset < in_page)
			continue;
		ret->seg[ret->nsegs].off = ph[i].p_offset - in_page;
		ret->seg[ret->nsegs].size = bits_round_up(ph[i].p_filesz + in_page, (u64)NT_PAGE);
		ret->seg[ret->nsegs++].pc = ph[i].p_vaddr - in_page - base;
	}
}

bool util_ehrows_pc(const struct util_ehrows *t, u64 off, u64 *ret_pc)
{
	for (u32 i = 0; i < t->nsegs; i++)
		if (off - t->seg[i].off < t->seg[i].size) {
			*ret_pc = t->seg[i].pc + (off - t->seg[i].off);
			return true;
		}
	return false;
}

static int find_eh_frame(const u8 *bytes, u64 size, struct dwarf_cur *ret, u64 *ret_base, struct util_ehrows *ret_code)
{
	const Elf64_Ehdr *eh = (const void *)bytes;
	const Elf64_Phdr *ph, *hdr = NULL;
	u64 base = ~0ull;
	struct dwarf_cur c;
	u8 enc;

	if (size < sizeof(*eh) || memcmp(bytes, ELFMAG "\2\1", 6) || eh->e_machine != EM_X86_64 || eh->e_phoff % 8 ||
	    eh->e_phentsize != sizeof(*ph) || eh->e_phoff > size || eh->e_phnum > (size - eh->e_phoff) / sizeof(*ph))
		return -EBADMSG;
	ph = (const void *)(bytes + eh->e_phoff);
	for (u32 i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD)
			base = bits_min(base, ph[i].p_vaddr & ~(u64)(NT_PAGE - 1));
		else if (ph[i].p_type == PT_GNU_EH_FRAME)
			hdr = &ph[i];
	}
	if (!hdr)
		return -ENOENT;
	c = segment_at(bytes, size, ph, eh->e_phnum, hdr->p_vaddr);
	if (dwarf_uint(&c, 1) != 1)
		return -EBADMSG;
	enc = (u8)dwarf_uint(&c, 1);
	dwarf_uint(&c, 2);
	c = segment_at(bytes, size, ph, eh->e_phnum, dwarf_pointer(&c, enc));
	if (c.bad)
		return -EBADMSG;
	find_code(ph, eh->e_phnum, base, ret_code);
	*ret = c;
	*ret_base = base;
	return 0;
}

int util_ehrows_make(const u8 *bytes, u64 size, struct util_ehrows *ret)
{
	struct util_ehrows out = { .row = NULL };
	struct ehrun_table t = { .row = NULL };
	struct dwarf_cur c = { .p = NULL };
	int r = find_eh_frame(bytes, size, &c, &t.base, &out);

	if (r)
		return r;
	r = read_all(&t, c);
	if (r && (r != -EBADMSG || !t.n)) {
		free(t.row);
		return r;
	}
	table_sort(&t);
	out.row = t.row;
	out.n = t.n;
	*ret = out;
	return 0;
}
