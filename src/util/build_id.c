/* SPDX-License-Identifier: MIT */
#include "util/build_id.h"

#include <elf.h>
#include <string.h>

#define HEADERS_MAX 4096u

static u64 round_up4(u64 n)
{
	return (n + 3) & ~3ull;
}

static bool find_note(const u8 *at, u64 size, u8 ret[NT_BUILD_ID_SIZE])
{
	Elf64_Nhdr h;
	u64 name, desc;

	while (size >= sizeof(h)) {
		memcpy(&h, at, sizeof(h));
		name = sizeof(h);
		desc = name + round_up4(h.n_namesz);
		if (desc > size || h.n_descsz > size - desc)
			return false;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == sizeof("GNU") && !memcmp(at + name, "GNU", sizeof("GNU")) &&
		    h.n_descsz && h.n_descsz <= NT_BUILD_ID_SIZE) {
			memset(ret, 0, NT_BUILD_ID_SIZE);
			memcpy(ret, at + desc, h.n_descsz);
			return true;
		}
		desc += round_up4(h.n_descsz);
		if (desc > size)
			return false;
		at += desc;
		size -= desc;
	}
	return false;
}

bool util_build_id(const u8 *bytes, u64 size, u8 ret[NT_BUILD_ID_SIZE])
{
	Elf64_Ehdr e;
	Elf64_Phdr p;

	if (size < sizeof(e))
		return false;
	memcpy(&e, bytes, sizeof(e));
	if (memcmp(e.e_ident, ELFMAG, SELFMAG) || e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_phentsize != sizeof(p) ||
	    e.e_phnum > HEADERS_MAX || e.e_phoff > size || (u64)e.e_phnum * sizeof(p) > size - e.e_phoff)
		return false;
	for (u32 i = 0; i < e.e_phnum; i++) {
		memcpy(&p, bytes + e.e_phoff + (u64)i * sizeof(p), sizeof(p));
		if (p.p_type == PT_NOTE && p.p_offset <= size && p.p_filesz <= size - p.p_offset &&
		    find_note(bytes + p.p_offset, p.p_filesz, ret))
			return true;
	}
	return false;
}
