/* SPDX-License-Identifier: MIT */
#include "util/elf/read.h"

#include <errno.h>
#include <stdlib.h>

void *elfread_add(struct util_elf *e, void *array, u32 *n, size_t *cap, size_t size)
{
	void **a = array;

	if (*n == *cap) {
		size_t c = *cap ? 2 * *cap : 64;
		void *p = c < UINT32_MAX / 2 ? realloc(*a, c * size) : NULL;

		if (!p) {
			e->failed = true;
			return NULL;
		}
		*a = p;
		*cap = c;
	}
	return (char *)*a + (size_t)(*n)++ * size;
}

bool elfread_in_code(const struct util_elf *e, u64 vaddr)
{
	for (u32 i = 0; i < e->desc.nseg; i++)
		if (vaddr - e->seg[i].vaddr < e->seg[i].size)
			return true;
	return false;
}

const u8 *elfread_bytes_at(const struct util_elf *e, u64 vaddr, u64 *ret_n)
{
	for (u32 i = 0; i < e->nload; i++)
		if (vaddr - e->load[i].vaddr < e->load[i].size) {
			u64 d = vaddr - e->load[i].vaddr;

			*ret_n = e->load[i].size - d;
			return e->image + e->load[i].off + d;
		}
	return NULL;
}

static void add_segment(struct util_elf *e, bool exec, const struct load *l, u64 lo, u64 hi)
{
	struct patch_segment *s;

	if (lo >= hi)
		return;
	s = exec ? elfread_add(e, &e->seg, &e->desc.nseg, &e->seg_cap, sizeof(*s)) :
		   elfread_add(e, &e->data, &e->desc.ndata, &e->data_cap, sizeof(*s));
	if (s)
		*s = (struct patch_segment){ .vaddr = lo,
					     .off = l->off + (lo - l->vaddr),
					     .size = hi - lo,
					     .bytes = e->image + l->off + (lo - l->vaddr) };
}

/* Old linkers put headers and read-only data into the executable segment: only the span of its code
 * sections is code. */
static void code_span(const struct util_elf *e, const struct load *l, u64 *lo, u64 *hi)
{
	u64 first = ~0ull, last = 0, end = l->vaddr + l->size;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(e->elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_flags & SHF_EXECINSTR &&
		    sh.sh_type == SHT_PROGBITS && sh.sh_size && sh.sh_addr >= l->vaddr &&
		    sh.sh_addr < end && sh.sh_size <= end - sh.sh_addr) {
			if (sh.sh_addr < first)
				first = sh.sh_addr;
			if (sh.sh_addr + sh.sh_size > last)
				last = sh.sh_addr + sh.sh_size;
		}
	*lo = last ? first : l->vaddr;
	*hi = last ? last : end;
}

int elfread_segments(struct util_elf *e)
{
	size_t n = 0;

	if (elf_getphdrnum(e->elf, &n) || n > 4096)
		return -ENOEXEC;
	e->load = calloc(n + 1, sizeof(*e->load));
	if (!e->load)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr ph;
		struct load *l = &e->load[e->nload];
		u64 lo, hi;

		if (!gelf_getphdr(e->elf, (int)i, &ph) || ph.p_type != PT_LOAD || !ph.p_filesz)
			continue;
		if (ph.p_offset > e->size || ph.p_filesz > e->size - ph.p_offset ||
		    ph.p_vaddr + ph.p_filesz < ph.p_vaddr)
			return -ENOEXEC;
		*l = (struct load){ ph.p_vaddr, ph.p_offset, ph.p_filesz, ph.p_flags & PF_X };
		e->nload++;
		hi = lo = l->vaddr;
		if (l->exec)
			code_span(e, l, &lo, &hi);
		add_segment(e, true, l, lo, hi);
		if (ph.p_flags & PF_R) {
			add_segment(e, false, l, l->vaddr, lo);
			add_segment(e, false, l, hi, l->vaddr + l->size);
		}
	}
	return e->desc.nseg ? 0 : -ENOTSUP;
}
