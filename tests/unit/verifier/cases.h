/* SPDX-License-Identifier: MIT */
/* Hand-written programs with the verdict they must get; the unit test and the parity test with the
 * kernel share them. */
#pragma once

#include "verifier/verifier.h"

#define CASE_MAX_INSNS 64u

enum case_map { /* index of LD_IMM64 in every program */
		M_ARRAY,
		M_HASH,
		M_PERCPU,
		M_RING,
		M_DATA,
		M_RODATA,
		M_HASH8,
		M_PHASH,
		M_PERF,
		M_RDONLY,
		M_PROGS,
		M_OUTER,
		M_QUEUE,
		M_STACKS,
		M_NMAPS,
		M_INNER = M_NMAPS, /* not to be named by programs */
		M_ALL
};

struct vcase {
	const char *name;
	const char *phrase; /* of the log if it is refused; NULL: it is accepted */
	u32 prog_type;	    /* 0: KPROBE */
	bool kernel_takes;  /* refused here, and on purpose, though the kernel accepts it */
	/* refused here because it need not end, though the kernel does not see that */
	bool refused_for_ever;
	u32 cb; /* first instruction of a static function that BTF describes, 0 = none */
	u32 attach;
	struct bpf_insn insn[CASE_MAX_INSNS];
};

extern const struct verifier_map case_maps[M_ALL];
extern const u8 case_rodata[32];
extern const struct vcase vcases[];
extern const u32 vcases_n;

/* Instructions up to the last one that is not all zero. */
u32 vcase_len(const struct vcase *c);
