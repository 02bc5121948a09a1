/* SPDX-License-Identifier: MIT */
/*
 * Hostile files: util/elf and the analysis behind it must survive any bytes and stay inside them.
 * An input that starts with the ELF magic is the file itself. Any other input is a list of edits of
 * this very program, 6 bytes each {where: kind and position, what}: random bytes alone would never
 * get past the magic.
 */
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/build_id.h"
#include "util/elf.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct seed {
	u8 *bytes;
	size_t n;
	struct { u64 off, size; } part[64]; /* headers and the sections that are parsed */
	u32 nparts;
};

static void add_part(struct seed *s, u64 off, u64 size)
{
	if (s->nparts < 64 && size && off < s->n && size <= s->n - off) {
		s->part[s->nparts].off = off;
		s->part[s->nparts++].size = size;
	}
}

static void find_parts(struct seed *s)
{
	const Elf64_Ehdr *eh = (const void *)s->bytes;
	const Elf64_Shdr *sh = (const void *)(s->bytes + eh->e_shoff);

	add_part(s, 0, sizeof(*eh));
	add_part(s, eh->e_phoff, (u64)eh->e_phnum * eh->e_phentsize);
	add_part(s, eh->e_shoff, (u64)eh->e_shnum * eh->e_shentsize);
	for (u32 i = 1; i < eh->e_shnum; i++)
		if (sh[i].sh_type != SHT_NOBITS && !(sh[i].sh_flags & SHF_EXECINSTR) &&
		    (sh[i].sh_flags & SHF_ALLOC || sh[i].sh_type == SHT_SYMTAB))
			add_part(s, sh[i].sh_offset, sh[i].sh_size);
}

/* Read once and kept: the fuzzer calls us many times. */
static const struct seed *seed(void)
{
	static struct seed s;
	struct stat st;
	int fd;

	if (s.bytes)
		return &s;
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !(s.bytes = malloc((size_t)st.st_size)) ||
	    read(fd, s.bytes, (size_t)st.st_size) != st.st_size)
		abort();
	close(fd);
	s.n = (size_t)st.st_size;
	find_parts(&s);
	return &s;
}

static void edit(u8 *image, const struct seed *s, const u8 *d)
{
	static const u64 words[] = {
		0, 1, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff,
		INT64_MAX, 1ull << 63, UINT64_MAX, 0xfffffffffffff000,
	};
	u32 part = d[0] % s->nparts, n = 1u << (d[1] & 3);
	u64 at = (d[2] | (u64)d[3] << 8 | (u64)(d[1] >> 2) << 16) % s->part[part].size, v;

	v = d[4] & 1 ? words[d[5] % 12] : d[4] & 2 ? d[5] : (u64)d[5] << (d[4] >> 2 & 56);
	if (at & ~7ull && d[4] & 0x80)
		at &= ~7ull;
	at += s->part[part].off;
	for (u32 i = 0; i < n && at + i < s->n; i++)
		image[at + i] = (u8)(v >> (8 * i));
}

static void analyse(const u8 *image, size_t n)
{
	u8 id[NT_BUILD_ID_SIZE];
	struct util_elf *e = NULL;
	struct patch_binary *b = NULL;
	const struct patch_binary_desc *d;
	struct patch_plan p;
	u64 off;

	util_build_id(image, n, id);
	if (util_elf_open_mem(image, n, &e))
		return;
	d = util_elf_desc(e);
	if (!patch_binary_new(d, &b)) {
		for (u32 i = 0; i < d->nfunc; i += 1 + d->nfunc / 64) {
			patch_plan_site(b, d->func[i].vaddr, NULL, 0, &p);
			util_elf_offset(e, d->func[i].vaddr, &off);
		}
		patch_binary_free(b);
	}
	util_elf_close(e);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const struct seed *s;
	u8 *image;

	if (size >= 4 && !memcmp(data, "\x7f" "ELF", 4)) {
		analyse(data, size);
		return 0;
	}
	s = seed();
	image = malloc(s->n);
	if (!image)
		return 0;
	memcpy(image, s->bytes, s->n);
	for (size_t k = 0; k + 6 <= size && k < 6u * (1 + data[0] % 8); k += 6)
		edit(image, s, data + k);
	analyse(image, s->n);
	free(image);
	return 0;
}
