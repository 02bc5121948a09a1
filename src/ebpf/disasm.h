/* SPDX-License-Identifier: MIT */
/* One instruction as text, in the notation of the kernel's verifier log: "(07) r2 += -8". */
#pragma once

#include "ebpf/insn.h"

#define EBPF_DISASM_MAX 96 /* enough for every instruction */

/* Writes at most n bytes, NUL included; LD_IMM64 is read from in[0] and in[1]. */
void ebpf_disasm(const struct bpf_insn *in, char *buf, size_t n);
