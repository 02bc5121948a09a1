/* SPDX-License-Identifier: MIT */
/* What the compiler wants to know of this machine; one file per architecture. */
#pragma once

#include "abi/types.h"

/* The CPU number can be read by one unprivileged instruction. */
bool cpu_has_rdpid(void);
/* x86-64: BMI2. */
bool cpu_has_bmi2(void);
/* Does the kernel refuse to put a uprobe on this instruction, of which these are the first n bytes (uprobes.c of the
 * architecture)? Not every reason is known here. */
bool cpu_kernel_refuses(const unsigned char *insn, unsigned n);
