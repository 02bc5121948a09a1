/* SPDX-License-Identifier: MIT */
/* Inside: a file while it is read, in three parts: segments, functions, pointers into code. */
#pragma once

#include "util/elf.h"

#include <gelf.h>

#include "util/ehframe.h"

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
	u64 go_table; /* address, 0 = none */
	bool has_symtab, failed; /* failed: out of memory */
	u8 build_id[UTIL_ELF_BUILD_ID_MAX];
	u32 build_id_len;
	struct patch_binary_desc desc;
};

/* ---- segments.c ---- */

/* Room for one more element of an array of *n; NULL (and e->failed) if there is none. */
void *elfread_add(struct util_elf *e, void *array, u32 *n, size_t *cap, size_t size);
/* What is code, what is data. 0, -ENOEXEC, -ENOTSUP (no code) or -ENOMEM. */
int elfread_segments(struct util_elf *e);
bool elfread_in_code(const struct util_elf *e, u64 vaddr);
/* File bytes at vaddr; *ret_n is how many follow in the same segment. NULL: none. */
const u8 *elfread_bytes_at(const struct util_elf *e, u64 vaddr, u64 *ret_n);

/* ---- funcs.c: what does not lie in code is not taken ---- */

void elfread_symbols(struct util_elf *e, Elf_Scn *scn, const GElf_Shdr *sh);
void elfread_fde(const struct util_fde *fde, void *elf);
/* gotable.c: those of Go's own table at vaddr. False: it cannot be read to its end. */
bool elfread_go_table(struct util_elf *e, u64 vaddr, void (*add)(struct util_elf *e, struct patch_func f));
void elfread_func(struct util_elf *e, struct patch_func f);
/* When all are there: one entry per address and name; what the unwind table says of an address goes to its names. */
void elfread_merge_funcs(struct util_elf *e);

/* ---- pointers.c: likewise ---- */

void elfread_code_ptr(struct util_elf *e, u64 vaddr);
void elfread_rela(struct util_elf *e, Elf_Scn *scn, const GElf_Shdr *sh);
void elfread_relr(struct util_elf *e, Elf_Scn *scn);
/* A fixed binary needs no relocations: any aligned word of data may be a pointer. */
void elfread_data(struct util_elf *e);
void elfread_dynamic(struct util_elf *e, const GElf_Phdr *ph);
