/* SPDX-License-Identifier: MIT */
/*
 * The notation of the verifier's log (ebpf/disasm.h) to instructions, one line each, and labels:
 *
 *     r0 = 0x1122334455667788 ll          if w1 s> -1 goto done         lock *(u64 *)(r10 -8) += r1
 *     w0 s/= -1                           call function                 r1 = atomic64_fetch_add((u64 *)(r10 -8), r1)
 *     r0 = *(s16 *)(r1 +2)                r2 = &function                store_release((u32 *)(r10 -8), r1)
 *     done:                               may_goto done                 goto pc-2
 */
#pragma once

#include "ebpf/insn.h"

enum { ASM_MAX = 256, ASM_LABELS = 32, ASM_NAME = 24 };

struct asm_label {
	char name[ASM_NAME];
	u32 at; /* instruction it stands before, or that goes to it */
};

struct asm_program {
	struct bpf_insn insn[ASM_MAX];
	u32 n;
	struct asm_label label[ASM_LABELS], use[ASM_LABELS];
	u32 nlabels, nuses;
};

/* Appends a line: an instruction or a label. False: not understood, or no room. */
bool asm_line(struct asm_program *p, const char *line);
/* Makes labels distances. False: one is missing; its name goes to *ret_name. */
bool asm_link(struct asm_program *p, const char **ret_name);
