/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SECTIONS = 64 };

struct reader {
	Elf *elf;
	const char *name[MAX_SECTIONS];
	Elf_Data *data[MAX_SECTIONS];
	GElf_Shdr hdr[MAX_SECTIONS];
	u32 n, text, prog, maps, bss;
	u32 symbols; /* section, like those above; 0 = there is none */
};

static void read_sections(struct reader *r)
{
	Elf_Scn *scn = NULL;
	size_t names = 0;

	elf_getshdrstrndx(r->elf, &names);
	for (r->n = 1; r->n < MAX_SECTIONS && (scn = elf_nextscn(r->elf, scn)); r->n++) {
		const char *name;

		gelf_getshdr(scn, &r->hdr[r->n]);
		r->data[r->n] = elf_getdata(scn, NULL);
		name = r->name[r->n] = elf_strptr(r->elf, names, r->hdr[r->n].sh_name);
		if (!strcmp(name, ".text"))
			r->text = r->n;
		else if (!strcmp(name, "raw_tp"))
			r->prog = r->n;
		else if (!strcmp(name, ".maps"))
			r->maps = r->n;
		else if (!strcmp(name, ".bss"))
			r->bss = r->n;
		else if (r->hdr[r->n].sh_type == SHT_SYMTAB)
			r->symbols = r->n;
	}
}

static const char *symbol_name(const struct reader *r, const GElf_Sym *sym)
{
	return elf_strptr(r->elf, r->hdr[r->symbols].sh_link, sym->st_name);
}

/* What they are is in the BTF, which libbpf reads. */
static int read_maps(const char *path, struct object *o)
{
	struct bpf_object *b = bpf_object__open(path);
	struct bpf_map *m;

	if (!b)
		return -EINVAL;
	bpf_object__for_each_map(m, b) {
		const char *name = bpf_map__name(m), *dot = strrchr(name, '.');

		if (o->nmaps == OBJECT_MAPS)
			break;
		if (dot && !strcmp(dot, ".bss"))
			o->bss = o->nmaps;
		snprintf(o->map_name[o->nmaps], sizeof(o->map_name[0]), "%s", name);
		o->map[o->nmaps++] = (struct verifier_map){.type = bpf_map__type(m),
							   .key_size = bpf_map__key_size(m),
							   .value_size = bpf_map__value_size(m),
							   .max_entries = bpf_map__max_entries(m),
							   .map_flags = bpf_map__map_flags(m)};
	}
	bpf_object__close(b);
	return o->map[o->bss].type == BPF_MAP_TYPE_ARRAY ? 0 : -EINVAL;
}

/* The callback of a program: the function that begins there in .text is put behind it. */
static int take_callback(const struct reader *r, u64 at, struct object_program *p)
{
	const Elf_Data *d = r->data[r->symbols];
	GElf_Sym sym;

	for (int i = 0; gelf_getsym((Elf_Data *)d, i, &sym); i++) {
		if (GELF_ST_TYPE(sym.st_info) != STT_FUNC || sym.st_shndx != r->text || sym.st_value != at)
			continue;
		if (p->callback || p->n + sym.st_size / 8 > OBJECT_INSNS)
			return -EINVAL;
		p->callback = p->n;
		memcpy(&p->insn[p->n], (u8 *)r->data[r->text]->d_buf + at, sym.st_size);
		p->n += (u32)(sym.st_size / 8);
		return 0;
	}
	return -EINVAL;
}

static int relocate_one(const struct reader *r, const struct object *o, struct object_program *p, u32 i, const GElf_Sym *sym)
{
	struct bpf_insn *in = &p->insn[i];
	u32 m = 0;

	if (!ebpf_insn_is_ld64(in))
		return -EINVAL;
	if (sym->st_shndx == r->text) {
		int err = take_callback(r, sym->st_value + (u32)in->imm, p);

		in[0].src_reg = BPF_PSEUDO_FUNC;
		in[0].imm = (s32)(p->callback - i - 1);
		return err;
	}
	if (sym->st_shndx == r->bss) {
		in[0].src_reg = BPF_PSEUDO_MAP_VALUE;
		in[1].imm = in[0].imm + (s32)sym->st_value;
		in[0].imm = (s32)o->bss;
		return 0;
	}
	while (m < o->nmaps && strcmp(o->map_name[m], symbol_name(r, sym)))
		m++;
	in[0].src_reg = BPF_PSEUDO_MAP_FD;
	in[0].imm = (s32)m;
	return sym->st_shndx == r->maps && m < o->nmaps ? 0 : -EINVAL;
}

/* Those of a section that lie in [from, from + 8 * n), which stand in the program from instruction `base` on. */
static int relocate(const struct reader *r, const struct object *o, struct object_program *p, u32 section, u64 from, u32 base, u32 n)
{
	int err = 0;

	for (u32 s = 1; s < r->n; s++) {
		GElf_Rel rel;

		if (r->hdr[s].sh_type != SHT_REL || r->hdr[s].sh_info != section)
			continue;
		for (int k = 0; !err && gelf_getrel(r->data[s], k, &rel); k++) {
			GElf_Sym sym;

			if (rel.r_offset < from || rel.r_offset >= from + 8ull * n)
				continue;
			if (!gelf_getsym(r->data[r->symbols], (int)GELF_R_SYM(rel.r_info), &sym))
				return -EINVAL;
			err = relocate_one(r, o, p, base + (u32)((rel.r_offset - from) / 8), &sym);
		}
	}
	return err;
}

static u64 callback_address(const struct reader *r, const char *program)
{
	char name[64];
	GElf_Sym sym;

	snprintf(name, sizeof(name), "%s_round", program);
	for (int i = 0; gelf_getsym(r->data[r->symbols], i, &sym); i++)
		if (sym.st_shndx == r->text && !strcmp(symbol_name(r, &sym), name))
			return sym.st_value;
	return 0;
}

static int read_program(const struct reader *r, const struct object *o, const GElf_Sym *sym, struct object_program *p)
{
	int err;

	*p = (struct object_program){.n = (u32)(sym->st_size / 8)};
	if (p->n > OBJECT_INSNS)
		return -EINVAL;
	snprintf(p->name, sizeof(p->name), "%s", symbol_name(r, sym));
	memcpy(p->insn, (u8 *)r->data[r->prog]->d_buf + sym->st_value, sym->st_size);
	err = relocate(r, o, p, r->prog, sym->st_value, 0, p->n);
	if (!err && p->callback)
		err = relocate(r, o, p, r->text, callback_address(r, p->name), p->callback, p->n - p->callback);
	return err;
}

static int read_programs(const struct reader *r, struct object *o)
{
	GElf_Sym sym;
	int err = 0;

	for (int i = 0; !err && gelf_getsym(r->data[r->symbols], i, &sym); i++) {
		if (sym.st_shndx == r->bss && !strcmp(symbol_name(r, &sym), "took"))
			o->took = (u32)sym.st_value;
		if (GELF_ST_TYPE(sym.st_info) == STT_FUNC && sym.st_shndx == r->prog && o->nprograms < OBJECT_PROGRAMS)
			err = read_program(r, o, &sym, &o->program[o->nprograms++]);
	}
	return err;
}

int object_read(const char *path, struct object *ret)
{
	struct reader r = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = -EINVAL;

	memset(ret, 0, sizeof(*ret));
	elf_version(EV_CURRENT);
	r.elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	if (r.elf)
		read_sections(&r);
	if (r.prog && r.text && r.symbols && r.bss && r.maps && !read_maps(path, ret))
		err = read_programs(&r, ret);
	if (err)
		fprintf(stderr, "%s: not an object of this benchmark (program %s)\n", path,
			ret->nprograms ? ret->program[ret->nprograms - 1].name : "none");
	elf_end(r.elf);
	if (fd >= 0)
		close(fd);
	return err;
}
