/* SPDX-License-Identifier: MIT */
#include "broker/link/vdso.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#include "util/proc.h"

/* Value of a dynamic symbol of our own vdso; the image is trusted, it is the kernel's. */
static u64 vdso_symbol(const char *name)
{
	const u8 *base = (const u8 *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)base;
	const Elf64_Shdr *sh;

	if (!base)
		return 0;
	sh = (const Elf64_Shdr *)(base + eh->e_shoff);
	for (u32 i = 0; i < eh->e_shnum; i++) {
		const Elf64_Sym *sym = (const Elf64_Sym *)(base + sh[i].sh_offset);

		if (sh[i].sh_type != SHT_DYNSYM)
			continue;
		for (u64 j = 0; j < sh[i].sh_size / sizeof(*sym); j++)
			if (!strcmp((const char *)base + sh[sh[i].sh_link].sh_offset + sym[j].st_name, name))
				return sym[j].st_value;
	}
	return 0;
}

u64 vdso_clock_gettime(pid_t pid)
{
	u64 off = vdso_symbol("__vdso_clock_gettime"), base = 0;

	if (!off || proc_auxv(pid, AT_SYSINFO_EHDR, &base) || !base)
		return 0;
	return base + off;
}
