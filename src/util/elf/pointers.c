/* SPDX-License-Identifier: MIT */
/* Pointers into code: who holds one may jump to it, so no displaced instructions may begin or end there. */
#include "util/elf/read.h"

#include <elf.h>
#include <string.h>

static u64 get_u64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, 8);
	return v;
}

void elfread_code_ptr(struct util_elf *e, u64 vaddr)
{
	u64 *p;

	if (!elfread_in_code(e, vaddr))
		return;
	p = elfread_add(e, &e->ptr, &e->desc.ncode_ptr, &e->ptr_cap, sizeof(*p));
	if (p)
		*p = vaddr;
}

void elfread_rela(struct util_elf *e, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Scn *symscn = elf_getscn(e->elf, sh->sh_link);
	Elf_Data *d = elf_getdata(scn, NULL), *syms = symscn ? elf_getdata(symscn, NULL) : NULL;
	size_t n = d ? d->d_size / sizeof(Elf64_Rela) : 0;
	GElf_Rela r;
	GElf_Sym s;

	for (size_t i = 0; i < n && n < INT32_MAX; i++) {
		if (!gelf_getrela(d, (int)i, &r))
			break;
		switch (GELF_R_TYPE(r.r_info)) {
		case R_X86_64_RELATIVE:
		case R_X86_64_IRELATIVE:
			elfread_code_ptr(e, (u64)r.r_addend);
			break;
		case R_X86_64_64:
		case R_X86_64_GLOB_DAT:
		case R_X86_64_JUMP_SLOT:
			if (syms && syms->d_type == ELF_T_SYM && GELF_R_SYM(r.r_info) < INT32_MAX &&
			    gelf_getsym(syms, (int)GELF_R_SYM(r.r_info), &s) &&
			    s.st_shndx != SHN_UNDEF)
				elfread_code_ptr(e, s.st_value + (u64)r.r_addend);
			break;
		}
	}
}

/* RELR: an even word is the address of a pointer and where the next odd word starts; an odd word is
 * a bitmap of the 63 words from there on. The pointers themselves are in place. */
void elfread_relr(struct util_elf *e, Elf_Scn *scn)
{
	Elf_Data *d = elf_rawdata(scn, NULL);
	u64 at = 0, n;

	for (size_t i = 0; d && d->d_buf && i + 8 <= d->d_size; i += 8) {
		u64 word = get_u64((const u8 *)d->d_buf + i), bits = 1;
		u64 base = word & 1 ? at : word;

		if (word & 1)
			bits = word >> 1;
		for (u32 k = 0; bits; k++, bits >>= 1) {
			const u8 *p = bits & 1 ? elfread_bytes_at(e, base + 8 * k, &n) : NULL;

			if (p && n >= 8)
				elfread_code_ptr(e, get_u64(p));
		}
		at = word & 1 ? at + 63 * 8 : word + 8;
	}
}

void elfread_data(struct util_elf *e)
{
	for (u32 i = 0; i < e->desc.ndata; i++) {
		const struct patch_segment *s = &e->data[i];

		for (u64 k = -s->vaddr & 7; k + 8 <= s->size; k += 8)
			elfread_code_ptr(e, get_u64(s->bytes + k));
	}
}

void elfread_dynamic(struct util_elf *e, const GElf_Phdr *ph)
{
	if (ph->p_offset > e->size || ph->p_filesz > e->size - ph->p_offset)
		return;
	for (u64 k = 0; k + sizeof(Elf64_Dyn) <= ph->p_filesz; k += sizeof(Elf64_Dyn)) {
		u64 tag = get_u64(e->image + ph->p_offset + k);

		if (tag == DT_NULL)
			return;
		if (tag == DT_INIT || tag == DT_FINI)
			elfread_code_ptr(e, get_u64(e->image + ph->p_offset + k + 8));
	}
}
