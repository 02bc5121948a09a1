/* SPDX-License-Identifier: MIT */
/*
 * LLVM's machine code for a BPF program: its instructions written as C, one function for each of its functions, a statement
 * each, and clang -O3 -march=native makes a shared library of it, without vector registers: those of a target are
 * not a program's to change, and saving them is what a hit cannot afford. Everything that a compiler at run time knows is a constant
 * in it: the addresses of helpers and maps. After a call of a helper R1 to R5 are undefined, and what is undefined costs
 * nothing, so helpers with two arguments are not handed five.
 */
#pragma once

#include "object.h"

struct native_input {
	const struct object_program *program;
	const u64 *helper;   /* addresses by id, 0 = there is none */
	u32 nhelpers;
	const u64 *map_view, *map_data; /* by map index */
	const struct verifier_insn *facts; /* sizes of stacks */
};

/* Writes the program as C function `u64 native_NAME(u64 ctx)` to f. 0; -ENOTSUP: an instruction that it does not know
 * (stderr says which). */
int native_write(const struct native_input *in, void *f);
#define NATIVE_FLAGS "-mgeneral-regs-only"
/* Compiles that file in directory dir with these flags of clang, and loads it. The handle of dlopen(), or NULL, and *ret_why says why. */
void *native_load(const char *dir, const char *source, const char *flags, const char **ret_why);
