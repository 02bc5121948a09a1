/* SPDX-License-Identifier: MIT */
#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SECTIONS 64u

struct reader {
	Elf *elf;
	const char *name[MAX_SECTIONS];
	Elf_Data *data[MAX_SECTIONS];
	GElf_Shdr hdr[MAX_SECTIONS];
	s32 map_of[MAX_SECTIONS]; /* data sections: map index */
	u32 n, prog, text, maps;
	Elf_Data *symbols;
	u32 text_base; /* instruction index of .text behind the program */
};

static void read_sections(struct reader *r)
{
	Elf_Scn *scn = NULL;
	size_t names;

	elf_getshdrstrndx(r->elf, &names);
	for (r->n = 1; (scn = elf_nextscn(r->elf, scn)) && r->n < MAX_SECTIONS; r->n++) {
		u32 i = r->n;

		gelf_getshdr(scn, &r->hdr[i]);
		r->name[i] = elf_strptr(r->elf, names, r->hdr[i].sh_name);
		r->data[i] = elf_getdata(scn, NULL);
		r->map_of[i] = -1;
		if (!strcmp(r->name[i], "prog"))
			r->prog = i;
		else if (!strcmp(r->name[i], ".text"))
			r->text = i;
		else if (!strcmp(r->name[i], "maps"))
			r->maps = i;
		else if (r->hdr[i].sh_type == SHT_SYMTAB)
			r->symbols = r->data[i];
	}
}

static bool is_data(const struct reader *r, u32 i)
{
	return r->hdr[i].sh_size && (!strncmp(r->name[i], ".rodata", 7) ||
				     !strcmp(r->name[i], ".data") || !strcmp(r->name[i], ".bss"));
}

static void read_maps(struct reader *r, struct object *o)
{
	const u32 *def = r->maps ? r->data[r->maps]->d_buf : NULL;
	u32 i;

	for (i = 0; def && i < r->hdr[r->maps].sh_size / 20; i++, def += 5)
		o->map[o->nmaps++] =
		    (struct verifier_map){def[0], def[1], def[2], def[3], def[4], NULL};
	for (i = 1; i < r->n && o->nmaps < OBJECT_MAPS; i++) {
		bool rodata;
		u32 size, m = o->nmaps;

		if (!is_data(r, i))
			continue;
		rodata = !strncmp(r->name[i], ".rodata", 7);
		size = (u32)r->hdr[i].sh_size;
		o->value[m] = calloc(1, size);
		if (o->value[m] && r->hdr[i].sh_type != SHT_NOBITS)
			memcpy(o->value[m], r->data[i]->d_buf, size);
		o->map[m] = (struct verifier_map){
		    BPF_MAP_TYPE_ARRAY,		4, size, 1, rodata ? BPF_F_RDONLY_PROG : 0,
		    rodata ? o->value[m] : NULL};
		r->map_of[i] = (s32)m;
		o->nmaps++;
	}
}

static int relocate_one(struct reader *r, struct object *o, u32 at, const GElf_Sym *sym)
{
	struct bpf_insn *in = &o->insns[at];

	if (ebpf_insn_is_subprog_call(in)) {
		u32 to = GELF_ST_TYPE(sym->st_info) == STT_SECTION ? (u32)(in->imm + 1)
								   : (u32)(sym->st_value / 8);

		in->imm = (s32)(r->text_base + to - at - 1);
		return 0;
	}
	if (sym->st_shndx >= r->n)
		return -EINVAL;
	if (sym->st_shndx == r->maps) {
		in->src_reg = BPF_PSEUDO_MAP_FD;
		in->imm = (s32)(sym->st_value / 20);
		return 0;
	}
	if (r->map_of[sym->st_shndx] < 0)
		return -EINVAL;
	in[0].src_reg = BPF_PSEUDO_MAP_VALUE;
	in[1].imm = in[0].imm + (s32)sym->st_value;
	in[0].imm = r->map_of[sym->st_shndx];
	return 0;
}

static int relocate(struct reader *r, struct object *o)
{
	u32 i, k;
	int err = 0;

	for (i = 1; i < r->n; i++) {
		u32 base = r->hdr[i].sh_info == r->text ? r->text_base : 0;

		if (r->hdr[i].sh_type != SHT_REL ||
		    (r->hdr[i].sh_info != r->prog && r->hdr[i].sh_info != r->text))
			continue;
		for (k = 0; !err && k < r->hdr[i].sh_size / r->hdr[i].sh_entsize; k++) {
			GElf_Rel rel;
			GElf_Sym sym;

			if (!gelf_getrel(r->data[i], (int)k, &rel) ||
			    !gelf_getsym(r->symbols, (int)GELF_R_SYM(rel.r_info), &sym))
				return -EINVAL;
			err = relocate_one(r, o, base + (u32)(rel.r_offset / 8), &sym);
		}
	}
	return err;
}

int object_load(const char *path, struct object *ret)
{
	struct reader r = {0};
	struct object o = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = -EINVAL;
	size_t prog, text;

	elf_version(EV_CURRENT);
	r.elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	if (r.elf)
		read_sections(&r);
	if (r.prog && r.symbols) {
		prog = r.hdr[r.prog].sh_size;
		text = r.text ? r.hdr[r.text].sh_size : 0;
		o.insns = calloc(1, prog + text);
		o.n = (u32)((prog + text) / 8);
		r.text_base = (u32)(prog / 8);
		memcpy(o.insns, r.data[r.prog]->d_buf, prog);
		if (text)
			memcpy((u8 *)o.insns + prog, r.data[r.text]->d_buf, text);
		read_maps(&r, &o);
		err = relocate(&r, &o);
	}
	elf_end(r.elf);
	if (fd >= 0)
		close(fd);
	if (err)
		object_deinit(&o);
	else
		*ret = o;
	return err;
}

void object_deinit(struct object *o)
{
	u32 i;

	for (i = 0; i < OBJECT_MAPS; i++)
		free(o->value[i]);
	free(o->insns);
}
