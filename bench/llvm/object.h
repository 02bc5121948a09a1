/* SPDX-License-Identifier: MIT */
/* The raw tracepoint programs of engine.bpf.o as a broker gets them: relocated, without anybody having loaded them. */
#pragma once

#include <linux/bpf.h>

#include "verifier/verifier.h"

enum { OBJECT_INSNS = 512, OBJECT_PROGRAMS = 32, OBJECT_MAPS = 16 };

/* The program itself, and behind it, from `callback` on, the function that it hands to bpf_loop(). LD_IMM64 of maps carry
 * indexes of object.map. */
struct object_program {
	char name[40];
	struct bpf_insn insn[OBJECT_INSNS];
	u32 n, callback;
};

struct object {
	struct verifier_map map[OBJECT_MAPS];
	char map_name[OBJECT_MAPS][24];
	u32 nmaps, bss; /* bss: the map that is .bss */
	u32 took;	/* where the variable `took` stands in it: a time, which no two runs have in common */
	struct object_program program[OBJECT_PROGRAMS];
	u32 nprograms;
};

/* 0 or -EINVAL: not such a file, and stderr says why. */
int object_read(const char *path, struct object *ret);
