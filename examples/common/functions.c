/* SPDX-License-Identifier: MIT */
#include "functions.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct candidate {
	struct function fn;
	int rank; /* smaller is plainer */
};

struct search {
	Elf *elf;
	functions_match_fn *match;
	void *arg;
	struct candidate *found;
	size_t n, room;
	bool is_x86;
	bool any; /* the file names at least one function, matching or not */
};

/* Symbols hold addresses, uprobes want file offsets: the executable segment that holds the address
 * tells. */
static bool offset_of(Elf *elf, uint64_t addr, uint64_t *ret)
{
	GElf_Phdr ph;
	size_t i, n;

	if (elf_getphdrnum(elf, &n))
		return false;
	for (i = 0; i < n; i++) {
		if (!gelf_getphdr(elf, i, &ph) || ph.p_type != PT_LOAD || !(ph.p_flags & PF_X))
			continue;
		if (addr >= ph.p_vaddr && addr - ph.p_vaddr < ph.p_filesz) {
			*ret = addr - ph.p_vaddr + ph.p_offset;
			return true;
		}
	}
	return false;
}

/*
 * The first bytes of instructions that arch_uprobe_analyze_insn() of Linux
 * (arch/x86/kernel/uprobes.c) refuses: what traps, does port I/O or touches the interrupt flag. A
 * lock prefix is refused as well.
 */
static bool x86_is_probeable(const unsigned char *code, size_t n)
{
	static const unsigned char refused[] = {0x6c, 0x6d, 0x6e, 0x6f, 0xcc, 0xcd, 0xce,
						0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee,
						0xef, 0xf0, 0xf1, 0xf4, 0xfa, 0xfb};
	static const unsigned char prefix[] = {0x26, 0x2e, 0x36, 0x3e, 0x64,
					       0x65, 0x66, 0x67, 0xf2, 0xf3};
	size_t i = 0;

	while (i < n && (memchr(prefix, code[i], sizeof(prefix)) || (code[i] & 0xf0) == 0x40))
		i++;
	return i == n || !memchr(refused, code[i], sizeof(refused));
}

static bool is_probeable(const struct search *s, uint64_t offset)
{
	size_t size, left;
	const char *file = elf_rawfile(s->elf, &size);

	if (!s->is_x86 || !file || offset >= size)
		return true;
	left = size - offset;
	return x86_is_probeable((const unsigned char *)file + offset, left < 15 ? left : 15);
}

static int rank_of(const char *name, int bind)
{
	int underscores = strspn(name, "_");
	int binding = bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 1 : 2;

	return binding * 1000000 + underscores * 10000 + strlen(name);
}

static int candidate_add(struct search *s, const char *name, int bind, uint64_t offset)
{
	struct candidate *more;

	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 1024;
		more = realloc(s->found, s->room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->found = more;
	}
	s->found[s->n].fn.name = strdup(name);
	if (!s->found[s->n].fn.name)
		return -ENOMEM;
	s->found[s->n].fn.offset = offset;
	s->found[s->n++].rank = rank_of(name, bind);
	return 0;
}

static int search_table(struct search *s, Elf_Scn *scn, GElf_Shdr *sh)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t i, n = sh->sh_entsize ? sh->sh_size / sh->sh_entsize : 0;
	const char *name;
	uint64_t offset;
	GElf_Sym sym;
	int err;

	for (i = 0; data && i < n; i++) {
		if (!gelf_getsym(data, i, &sym) || GELF_ST_TYPE(sym.st_info) != STT_FUNC ||
		    sym.st_shndx == SHN_UNDEF)
			continue;
		name = elf_strptr(s->elf, sh->sh_link, sym.st_name);
		if (!name || !*name || !offset_of(s->elf, sym.st_value, &offset))
			continue;
		s->any = true;
		if (!s->match(name, s->arg))
			continue;
		err = candidate_add(s, name, GELF_ST_BIND(sym.st_info), offset);
		if (err)
			return err;
	}
	return 0;
}

static int search_file(struct search *s)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	int err;

	while ((scn = elf_nextscn(s->elf, scn))) {
		if (!gelf_getshdr(scn, &sh) ||
		    (sh.sh_type != SHT_SYMTAB && sh.sh_type != SHT_DYNSYM))
			continue;
		err = search_table(s, scn, &sh);
		if (err)
			return err;
	}
	return !s->any ? -ENODATA : !s->n ? -ENOENT : 0;
}

static int by_offset_then_rank(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->fn.offset != y->fn.offset)
		return x->fn.offset < y->fn.offset ? -1 : 1;
	return x->rank != y->rank ? x->rank - y->rank : strcmp(x->fn.name, y->fn.name);
}

/* Moves the plainest name of each offset into the list. */
static int keep_one_name_each(struct search *s, struct functions *ret)
{
	struct functions fs = {.fn = calloc(s->n, sizeof(*fs.fn))};
	uint64_t last = UINT64_MAX;
	size_t i;

	if (!fs.fn)
		return -ENOMEM;
	qsort(s->found, s->n, sizeof(*s->found), by_offset_then_rank);
	for (i = 0; i < s->n; i++) {
		struct function *fn = &s->found[i].fn;

		if (fn->offset == last)
			continue;
		last = fn->offset;
		if (is_probeable(s, fn->offset)) {
			fs.fn[fs.n++] = *fn;
			fn->name = NULL;
		} else if (!fs.refused++) {
			fs.first_refused = fn->name;
			fn->name = NULL;
		}
	}
	*ret = fs;
	return 0;
}

int functions_find(const char *path, functions_match_fn *match, void *arg, struct functions *ret)
{
	struct search s = {.match = match, .arg = arg};
	GElf_Ehdr eh;
	int fd, err = 0;

	elf_version(EV_CURRENT);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	s.elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (!s.elf || elf_kind(s.elf) != ELF_K_ELF)
		err = -ENOEXEC;
	if (!err)
		s.is_x86 = gelf_getehdr(s.elf, &eh) &&
			   (eh.e_machine == EM_X86_64 || eh.e_machine == EM_386);
	if (!err)
		err = search_file(&s);
	if (!err)
		err = keep_one_name_each(&s, ret);
	while (s.n)
		free(s.found[--s.n].fn.name);
	free(s.found);
	elf_end(s.elf);
	close(fd);
	return err;
}

void functions_free(struct functions *fs)
{
	while (fs->n)
		free(fs->fn[--fs->n].name);
	free(fs->fn);
	free(fs->first_refused);
	*fs = (struct functions){};
}
