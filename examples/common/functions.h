/* SPDX-License-Identifier: MIT */
/* Which functions an ELF file has, by name, and where they lie in it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct function {
	char *name;
	uint64_t offset; /* in the file: what a uprobe wants */
};

struct functions {
	struct function *fn; /* ordered by offset, each offset once */
	size_t n;
	size_t refused;	     /* functions left out because no uprobe can be put on their first
				instruction */
	char *first_refused; /* the name of one of them */
};

/* Does a name belong? */
typedef bool functions_match_fn(const char *name, void *arg);

/*
 * Lists the functions of the ELF file whose name match() accepts. Indirect functions (IFUNC) are
 * left out: their symbol is the resolver, not the function. Of several names for one place the
 * plainest stays: global before weak before local, then the one with fewer leading underscores,
 * then the shorter. Functions whose first instruction the kernel refuses to probe (lock-prefixed,
 * hlt, in, out ...) are counted and left out too: a single one would make a whole link fail.
 * Errors: what open() says, -ENOEXEC not an ELF file, -ENODATA no function symbols at all
 * (stripped), -ENOENT no match. Free with functions_free().
 */
int functions_find(const char *path, functions_match_fn *match, void *arg, struct functions *ret);
void functions_free(struct functions *fs);
