/* SPDX-License-Identifier: MIT */
/*
 * What patching wants to know of a file comes from four places, and any of them may be missing:
 *
 *     program headers   which bytes are code, which data  (always there)
 *     .symtab, .dynsym  functions with names              (stripped: only the second, or none)
 *     .eh_frame         functions without names, fragments, landing pads
 *     relocations       pointers into code; in a fixed binary every word of data may be one
 *
 * The file is not trusted: every offset is checked against the image before it is followed.
 */
#include "util/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/elf/read.h"

#ifndef SHT_RELR
#define SHT_RELR 19
#endif

static void read_notes(struct util_elf *e, const GElf_Phdr *ph)
{
	Elf_Data *d = elf_getdata_rawchunk(e->elf, (s64)ph->p_offset, ph->p_filesz,
					   ph->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	size_t at = 0, name, desc;
	GElf_Nhdr nh;

	while (d && (at = gelf_getnote(d, at, &nh, &name, &desc)) > 0)
		if (nh.n_type == NT_GNU_BUILD_ID && nh.n_namesz == 4 &&
		    !memcmp((char *)d->d_buf + name, "GNU", 4) && nh.n_descsz &&
		    nh.n_descsz <= UTIL_ELF_BUILD_ID_MAX) {
			memcpy(e->build_id, (u8 *)d->d_buf + desc, nh.n_descsz);
			e->build_id_len = nh.n_descsz;
		}
}

/* Without section headers the unwind table is found through its index: version, 3 encodings,
 * pointer to it. */
static struct util_eh_section eh_from_index(const struct util_elf *e, const GElf_Phdr *ph)
{
	struct util_eh_section eh = { 0 };
	u64 n = 0;
	const u8 *p = elfread_bytes_at(e, ph->p_vaddr, &n);
	s32 rel;

	if (!p || n < 8 || p[0] != 1 || p[1] != 0x1b) /* all linkers write pc-relative, 4 bytes */
		return eh;
	memcpy(&rel, p + 4, 4);
	eh.vaddr = ph->p_vaddr + 4 + (u64)(s64)rel;
	eh.bytes = elfread_bytes_at(e, eh.vaddr, &eh.size);
	return eh;
}

static void read_section(struct util_elf *e, Elf_Scn *scn, const char *name, const GElf_Shdr *sh,
			 struct util_eh_section *eh)
{
	u64 n = 0;

	switch (sh->sh_type) {
	case SHT_SYMTAB:
		e->has_symtab = true;
		elfread_symbols(e, scn, sh);
		break;
	case SHT_DYNSYM: elfread_symbols(e, scn, sh); break;
	case SHT_RELA: elfread_rela(e, scn, sh); break;
	case SHT_RELR: elfread_relr(e, scn); break;
	}
	if (!name)
		return;
	if (!strcmp(name, ".eh_frame") && sh->sh_type != SHT_NOBITS) {
		eh->vaddr = sh->sh_addr;
		eh->bytes = elfread_bytes_at(e, sh->sh_addr, &n);
		eh->size = sh->sh_size < n ? sh->sh_size : n;
	}
	if (strstr(name, "gopclntab") || !strcmp(name, ".go.buildinfo") ||
	    !strcmp(name, ".note.go.buildid"))
		e->desc.is_go = true;
	if (strstr(name, ".gopclntab"))
		e->go_table = sh->sh_addr;
}

static void read_sections(struct util_elf *e, struct util_eh_section *eh)
{
	Elf_Scn *scn = NULL;
	size_t names = 0;
	GElf_Shdr sh;

	if (elf_getshdrstrndx(e->elf, &names))
		names = 0;
	while ((scn = elf_nextscn(e->elf, scn)))
		if (gelf_getshdr(scn, &sh))
			read_section(e, scn, names ? elf_strptr(e->elf, names, sh.sh_name) : NULL,
				     &sh, eh);
}

/* A Go program may have C in it. The linker brackets its own. */
static void find_go_text(struct util_elf *e)
{
	for (u32 i = 0; i < e->desc.nfunc && e->desc.is_go; i++) {
		const struct patch_func *f = &e->func[i];

		if (f->name && !strcmp(f->name, "runtime.text"))
			e->desc.go_text.lo = f->vaddr;
		else if (f->name && !strcmp(f->name, "runtime.etext"))
			e->desc.go_text.hi = f->vaddr;
	}
}

/* Virtual machines that look at return addresses on the stack: V8, HotSpot, CoreCLR, Mono. */
static bool is_stack_walker(const char *name)
{
	return !strcmp(name, "JNI_CreateJavaVM") || !strncmp(name, "_ZN2v87Isolate3NewE", 19) ||
	       !strncmp(name, "Builtins_CEntry", 15) || !strcmp(name, "coreclr_initialize") || !strcmp(name, "mono_jit_init");
}

static void find_stack_walker(struct util_elf *e)
{
	for (u32 i = 0; i < e->desc.nfunc && !e->desc.walks_stacks; i++)
		e->desc.walks_stacks = e->func[i].name && is_stack_walker(e->func[i].name);
}

static int read_all(struct util_elf *e)
{
	struct util_eh_section eh = { 0 };
	GElf_Phdr ph;
	size_t n = 0;
	int r = elfread_segments(e);

	if (r)
		return r;
	elfread_code_ptr(e, e->eh.e_entry);
	e->desc.entry = e->eh.e_entry;
	read_sections(e, &eh);
	elf_getphdrnum(e->elf, &n);
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(e->elf, (int)i, &ph))
			continue;
		if (ph.p_type == PT_INTERP)
			e->desc.dynamic = true;
		if (ph.p_type == PT_DYNAMIC)
			elfread_dynamic(e, &ph);
		else if (ph.p_type == PT_NOTE)
			read_notes(e, &ph);
		else if (ph.p_type == PT_GNU_EH_FRAME && !eh.bytes)
			eh = eh_from_index(e, &ph);
	}
	if (eh.bytes)
		util_ehframe_walk(&eh, elfread_fde, e); /* a broken table: what came before is good */
	if (e->eh.e_type == ET_EXEC) {
		e->desc.fixed = true;
		elfread_data(e);
	}
	if (e->go_table && !e->has_symtab)
		elfread_go_table(e, e->go_table, elfread_func);
	elfread_merge_funcs(e);
	find_go_text(e);
	find_stack_walker(e);
	return e->failed ? -ENOMEM : 0;
}

static int open_image(struct util_elf *e)
{
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOTSUP;
	e->elf = elf_memory((char *)e->image, e->size); /* never written: no update */
	if (!e->elf || elf_kind(e->elf) != ELF_K_ELF)
		return -ENOEXEC;
	if (!gelf_getehdr(e->elf, &e->eh))
		return -ENOEXEC;
	if (gelf_getclass(e->elf) != ELFCLASS64 || e->eh.e_machine != EM_X86_64 ||
	    e->eh.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (e->eh.e_type != ET_EXEC && e->eh.e_type != ET_DYN))
		return -ENOTSUP;
	return read_all(e);
}

static int open_new(const void *image, size_t size, bool mapped, struct util_elf **ret)
{
	struct util_elf *e = calloc(1, sizeof(*e));
	int r;

	if (!e) {
		if (mapped)
			munmap((void *)image, size);
		return -ENOMEM;
	}
	e->image = image;
	e->size = size;
	e->mapped = mapped;
	r = open_image(e);
	if (r) {
		util_elf_close(e);
		return r;
	}
	e->desc.seg = e->seg;
	e->desc.data = e->data;
	e->desc.func = e->func;
	e->desc.code_ptr = e->ptr;
	*ret = e;
	return 0;
}

int util_elf_open_mem(const void *image, size_t size, struct util_elf **ret)
{
	return size < EI_NIDENT ? -ENOEXEC : open_new(image, size, false, ret);
}

int util_elf_open_fd(int fd, struct util_elf **ret)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < EI_NIDENT)
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENOEXEC;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	return open_new(p, (size_t)st.st_size, true, ret);
}

int util_elf_open(const char *path, struct util_elf **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		return -errno;
	r = util_elf_open_fd(fd, ret);
	close(fd);
	return r;
}

void util_elf_close(struct util_elf *e)
{
	if (!e)
		return;
	if (e->elf)
		elf_end(e->elf);
	if (e->mapped)
		munmap((void *)e->image, e->size);
	free(e->load);
	free(e->seg);
	free(e->data);
	free(e->func);
	free(e->ptr);
	free(e);
}

const struct patch_binary_desc *util_elf_desc(const struct util_elf *e)
{
	return &e->desc;
}

int util_elf_vaddr(const struct util_elf *e, u64 off, u64 *ret_vaddr)
{
	/* A page on the border is mapped twice; code is what is asked for. */
	for (u32 pass = 0; pass < 2; pass++)
		for (u32 i = 0; i < e->nload; i++)
			if (e->load[i].exec == !pass && off - e->load[i].off < e->load[i].size) {
				*ret_vaddr = e->load[i].vaddr + (off - e->load[i].off);
				return 0;
			}
	return -ENOENT;
}

int util_elf_offset(const struct util_elf *e, u64 vaddr, u64 *ret_off)
{
	for (u32 i = 0; i < e->nload; i++)
		if (vaddr - e->load[i].vaddr < e->load[i].size) {
			*ret_off = e->load[i].off + (vaddr - e->load[i].vaddr);
			return 0;
		}
	return -ENOENT;
}

int util_elf_symbol(const struct util_elf *e, const char *name, u64 *ret_vaddr)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	GElf_Sym sym;

	while ((scn = elf_nextscn(e->elf, scn))) {
		Elf_Data *d;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_DYNSYM || !(d = elf_getdata(scn, NULL)))
			continue;
		for (int i = 1; gelf_getsym(d, i, &sym); i++) {
			const char *n = elf_strptr(e->elf, sh.sh_link, sym.st_name);

			if (!n || strcmp(n, name) || sym.st_shndx == SHN_UNDEF)
				continue;
			*ret_vaddr = sym.st_value;
			return 0;
		}
	}
	return -ENOENT;
}

bool util_elf_is_stripped(const struct util_elf *e)
{
	return !e->has_symtab;
}

u32 util_elf_build_id(const struct util_elf *e, u8 ret[UTIL_ELF_BUILD_ID_MAX])
{
	memcpy(ret, e->build_id, e->build_id_len);
	return e->build_id_len;
}
