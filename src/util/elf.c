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

#include "util/ehframe.h"

#ifndef SHT_RELR
#define SHT_RELR 19
#endif

struct load { /* one PT_LOAD, as far as the file has bytes */
	u64 vaddr, off, size;
	bool exec;
};

struct util_elf {
	const u8 *image;
	size_t size;
	bool mapped;
	Elf *elf;
	GElf_Ehdr eh;
	struct load *load;
	u32 nload;
	struct patch_segment *seg, *data;
	struct patch_func *func;
	u64 *ptr;
	size_t seg_cap, data_cap, func_cap, ptr_cap;
	bool has_symtab, failed; /* failed: out of memory */
	u8 build_id[UTIL_ELF_BUILD_ID_MAX];
	u32 build_id_len;
	struct patch_binary_desc desc;
};

/* Room for one more element; NULL (and e->failed) if there is none. */
static void *add(struct util_elf *e, void *array, u32 *n, size_t *cap, size_t size)
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

static bool in_code(const struct util_elf *e, u64 vaddr)
{
	for (u32 i = 0; i < e->desc.nseg; i++)
		if (vaddr - e->seg[i].vaddr < e->seg[i].size)
			return true;
	return false;
}

static void add_code_ptr(struct util_elf *e, u64 vaddr)
{
	u64 *p;

	if (!in_code(e, vaddr))
		return;
	p = add(e, &e->ptr, &e->desc.ncode_ptr, &e->ptr_cap, sizeof(*p));
	if (p)
		*p = vaddr;
}

static void add_func(struct util_elf *e, struct patch_func f)
{
	struct patch_func *p;

	if (!in_code(e, f.vaddr))
		return;
	p = add(e, &e->func, &e->desc.nfunc, &e->func_cap, sizeof(*p));
	if (!p)
		return;
	*p = f;
	if (f.vaddr + f.size < f.vaddr)
		p->size = 0;
}

/* File bytes at vaddr; *ret_n is how many follow in the same segment. */
static const u8 *bytes_at(const struct util_elf *e, u64 vaddr, u64 *ret_n)
{
	for (u32 i = 0; i < e->nload; i++)
		if (vaddr - e->load[i].vaddr < e->load[i].size) {
			u64 d = vaddr - e->load[i].vaddr;

			*ret_n = e->load[i].size - d;
			return e->image + e->load[i].off + d;
		}
	return NULL;
}

static u64 get_u64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, 8);
	return v;
}

/* ---- segments ---- */

static void add_segment(struct util_elf *e, bool exec, const struct load *l, u64 lo, u64 hi)
{
	struct patch_segment *s;

	if (lo >= hi)
		return;
	s = exec ? add(e, &e->seg, &e->desc.nseg, &e->seg_cap, sizeof(*s)) :
		   add(e, &e->data, &e->desc.ndata, &e->data_cap, sizeof(*s));
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

static int read_segments(struct util_elf *e)
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

/* ---- functions ---- */

static bool is_cold(const char *name)
{
	const char *p = strstr(name, ".cold");

	return p && (!p[5] || p[5] == '.');
}

static void read_symbols(struct util_elf *e, Elf_Scn *scn, const GElf_Shdr *sh)
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
		add_func(e, (struct patch_func){ .vaddr = s.st_value,
						 .size = s.st_size,
						 .name = name,
						 .ifunc = type == STT_GNU_IFUNC,
						 .fragment = is_cold(name) });
	}
}

static void add_pad(u64 pad, void *arg)
{
	add_code_ptr(arg, pad);
}

static void add_fde(const struct util_fde *fde, void *arg)
{
	struct util_elf *e = arg;

	if (!fde->signal)
		add_func(e, (struct patch_func){ .vaddr = fde->start,
						 .size = fde->size,
						 .fragment = fde->fragment });
	if (fde->lsda) {
		struct util_eh_section t = { .vaddr = fde->lsda };

		t.bytes = bytes_at(e, t.vaddr, &t.size);
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

/* One entry per address and name; what the unwind table says of an address goes to its names. */
static void merge_funcs(struct util_elf *e)
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

/* ---- pointers into code ---- */

static void read_rela(struct util_elf *e, Elf_Scn *scn, const GElf_Shdr *sh)
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
			add_code_ptr(e, (u64)r.r_addend);
			break;
		case R_X86_64_64:
		case R_X86_64_GLOB_DAT:
		case R_X86_64_JUMP_SLOT:
			if (syms && syms->d_type == ELF_T_SYM && GELF_R_SYM(r.r_info) < INT32_MAX &&
			    gelf_getsym(syms, (int)GELF_R_SYM(r.r_info), &s) &&
			    s.st_shndx != SHN_UNDEF)
				add_code_ptr(e, s.st_value + (u64)r.r_addend);
			break;
		}
	}
}

/* RELR: an even word is the address of a pointer and where the next odd word starts; an odd word is
 * a bitmap of the 63 words from there on. The pointers themselves are in place. */
static void read_relr(struct util_elf *e, Elf_Scn *scn)
{
	Elf_Data *d = elf_rawdata(scn, NULL);
	u64 at = 0, n;

	for (size_t i = 0; d && d->d_buf && i + 8 <= d->d_size; i += 8) {
		u64 word = get_u64((const u8 *)d->d_buf + i), bits = 1;
		u64 base = word & 1 ? at : word;

		if (word & 1)
			bits = word >> 1;
		for (u32 k = 0; bits; k++, bits >>= 1) {
			const u8 *p = bits & 1 ? bytes_at(e, base + 8 * k, &n) : NULL;

			if (p && n >= 8)
				add_code_ptr(e, get_u64(p));
		}
		at = word & 1 ? at + 63 * 8 : word + 8;
	}
}

/* A fixed binary needs no relocations: any aligned word of data may be a pointer. */
static void scan_data(struct util_elf *e)
{
	for (u32 i = 0; i < e->desc.ndata; i++) {
		const struct patch_segment *s = &e->data[i];

		for (u64 k = -s->vaddr & 7; k + 8 <= s->size; k += 8)
			add_code_ptr(e, get_u64(s->bytes + k));
	}
}

static void read_dynamic(struct util_elf *e, const GElf_Phdr *ph)
{
	if (ph->p_offset > e->size || ph->p_filesz > e->size - ph->p_offset)
		return;
	for (u64 k = 0; k + sizeof(Elf64_Dyn) <= ph->p_filesz; k += sizeof(Elf64_Dyn)) {
		u64 tag = get_u64(e->image + ph->p_offset + k);

		if (tag == DT_NULL)
			return;
		if (tag == DT_INIT || tag == DT_FINI)
			add_code_ptr(e, get_u64(e->image + ph->p_offset + k + 8));
	}
}

/* ---- the rest ---- */

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
	const u8 *p = bytes_at(e, ph->p_vaddr, &n);
	s32 rel;

	if (!p || n < 8 || p[0] != 1 || p[1] != 0x1b) /* all linkers write pc-relative, 4 bytes */
		return eh;
	memcpy(&rel, p + 4, 4);
	eh.vaddr = ph->p_vaddr + 4 + (u64)(s64)rel;
	eh.bytes = bytes_at(e, eh.vaddr, &eh.size);
	return eh;
}

static void read_section(struct util_elf *e, Elf_Scn *scn, const char *name, const GElf_Shdr *sh,
			 struct util_eh_section *eh)
{
	u64 n = 0;

	switch (sh->sh_type) {
	case SHT_SYMTAB:
		e->has_symtab = true;
		read_symbols(e, scn, sh);
		break;
	case SHT_DYNSYM: read_symbols(e, scn, sh); break;
	case SHT_RELA: read_rela(e, scn, sh); break;
	case SHT_RELR: read_relr(e, scn); break;
	}
	if (!name)
		return;
	if (!strcmp(name, ".eh_frame") && sh->sh_type != SHT_NOBITS) {
		eh->vaddr = sh->sh_addr;
		eh->bytes = bytes_at(e, sh->sh_addr, &n);
		eh->size = sh->sh_size < n ? sh->sh_size : n;
	}
	if (strstr(name, "gopclntab") || !strcmp(name, ".go.buildinfo") ||
	    !strcmp(name, ".note.go.buildid"))
		e->desc.is_go = true;
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

static int read_all(struct util_elf *e)
{
	struct util_eh_section eh = { 0 };
	GElf_Phdr ph;
	size_t n = 0;
	int r = read_segments(e);

	if (r)
		return r;
	add_code_ptr(e, e->eh.e_entry);
	read_sections(e, &eh);
	elf_getphdrnum(e->elf, &n);
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(e->elf, (int)i, &ph))
			continue;
		if (ph.p_type == PT_INTERP)
			e->desc.dynamic = true;
		if (ph.p_type == PT_DYNAMIC)
			read_dynamic(e, &ph);
		else if (ph.p_type == PT_NOTE)
			read_notes(e, &ph);
		else if (ph.p_type == PT_GNU_EH_FRAME && !eh.bytes)
			eh = eh_from_index(e, &ph);
	}
	if (eh.bytes)
		util_ehframe_walk(&eh, add_fde, e); /* a broken table: what came before is good */
	if (e->eh.e_type == ET_EXEC) {
		e->desc.fixed = true;
		scan_data(e);
	}
	merge_funcs(e);
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
