/* SPDX-License-Identifier: MIT */
/*
 * Reads a program compiled from tests/golden/verifier: section "prog", functions in .text behind
 * it, maps in section "maps" (struct map_def of common.h), and one-entry arrays for .rodata, .data
 * and .bss. LD_IMM64 carry map indexes.
 */
#pragma once

#include "verifier/verifier.h"

#define OBJECT_MAPS 12u

struct object {
	struct bpf_insn *insns;
	u32 n;
	struct verifier_map map[OBJECT_MAPS];
	u32 nmaps;
	u8 *value[OBJECT_MAPS]; /* first contents of data maps; .rodata's is also map[].frozen */
};

/* 0 or -EINVAL (not such a file). */
int object_load(const char *path, struct object *ret);
void object_deinit(struct object *o);
