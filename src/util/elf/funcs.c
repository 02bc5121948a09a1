/* SPDX-License-Identifier: MIT */
/* Functions: named by symbol tables, unnamed and fragments by the unwind table. */
#include "util/elf/read.h"

#include <stdlib.h>
#include <string.h>

void elfread_func(struct util_elf *e, struct patch_func f)
{
	struct patch_func *p;

	if (!elfread_in_code(e, f.vaddr))
		return;
	p = elfread_add(e, &e->func, &e->desc.nfunc, &e->func_cap, sizeof(*p));
	if (!p)
		return;
	*p = f;
	if (f.vaddr + f.size < f.vaddr)
		p->size = 0;
}

static bool is_cold(const char *name)
{
	const char *p = strstr(name, ".cold");

	return p && (!p[5] || p[5] == '.');
}

void elfread_symbols(struct util_elf *e, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *d = elf_getdata(scn, NULL);
	size_t n = d ? d->d_size / sizeof(Elf64_Sym) : 0;
	GElf_Sym s;

	for (size_t i = 1; i < n && n < INT32_MAX; i++) {
		const char *name;
		u8 type;

		if (!gelf_getsym(d, (int)i, &s))
			break;
		type = GELF_ST_TYPE(s.st_info);
		if ((type != STT_FUNC && type != STT_GNU_IFUNC) || s.st_shndx == SHN_UNDEF)
			continue;
		name = elf_strptr(e->elf, sh->sh_link, s.st_name);
		if (!name || !*name)
			continue;
		elfread_func(e, (struct patch_func){ .vaddr = s.st_value,
						 .size = s.st_size,
						 .name = name,
						 .ifunc = type == STT_GNU_IFUNC,
						 .fragment = is_cold(name) });
	}
}

static void add_pad(u64 pad, void *arg)
{
	elfread_code_ptr(arg, pad);
}

void elfread_fde(const struct util_fde *fde, void *elf)
{
	struct util_elf *e = elf;

	if (!fde->signal)
		elfread_func(e, (struct patch_func){ .vaddr = fde->start,
						 .size = fde->size,
						 .fragment = fde->fragment });
	if (fde->lsda) {
		struct util_eh_section t = { .vaddr = fde->lsda };

		t.bytes = elfread_bytes_at(e, t.vaddr, &t.size);
		if (t.bytes)
			util_lsda_walk(&t, fde->lsda, fde->start, add_pad, e);
	}
}

/* By address; named before unnamed; names in order, so that doubles meet. */
static int func_order(const void *x, const void *y)
{
	const struct patch_func *a = x, *b = y;

	if (a->vaddr != b->vaddr)
		return a->vaddr < b->vaddr ? -1 : 1;
	if (!a->name || !b->name)
		return !a->name - !b->name;
	return strcmp(a->name, b->name);
}

void elfread_merge_funcs(struct util_elf *e)
{
	struct patch_func *f = e->func;
	u32 n = e->desc.nfunc, out = 0, first = 0;

	if (n)
		qsort(f, n, sizeof(*f), func_order);
	for (u32 i = 0; i < n; i++) {
		struct patch_func *last = out ? &f[out - 1] : NULL;

		if (!last || last->vaddr != f[i].vaddr) {
			first = out;
		} else if (!f[i].name) {
			for (u32 k = first; k < out; k++) {
				f[k].fragment |= f[i].fragment;
				if (!f[k].size)
					f[k].size = f[i].size;
			}
			continue;
		} else if (!strcmp(last->name, f[i].name)) {
			if (!last->size)
				last->size = f[i].size;
			continue;
		}
		f[out++] = f[i];
	}
	e->desc.nfunc = out;
}
