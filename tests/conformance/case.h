/* SPDX-License-Identifier: MIT */
/*
 * The rules of the instruction set as data: rules/NAME.txt is one rule, its first line says which and where it is
 * written. Then cases, with blank lines between them:
 *
 *     ctx 1 2 3                     words that R1 points to; others are 0
 *     kernel no, because            the kernel is not asked
 *     r0 = *(u64 *)(r1 +8)          instructions (asm.h)
 *     exit
 *     -> 2                          R0; or: refused
 */
#pragma once

#include <stdio.h>

#include "asm.h"

enum { CASE_CTX = 12 };

struct conf_case {
	struct asm_program prog;
	u64 ctx[CASE_CTX];
	u64 want;
	bool refused, no_kernel;
	u32 line; /* where it ends */
	bool bad; /* not understood: said so */
};

/* The next case of the file, whose lines are counted in *line. False: no more. */
bool case_next(FILE *f, const char *name, u32 *line, struct conf_case *ret);
