/* SPDX-License-Identifier: MIT */
/*
 * Walks .eh_frame: one entry (FDE) per function or piece of one. Every byte is checked: a broken
 * table ends the walk. Format: Linux Standard Base core 5.0, 10.6; call frame instructions: DWARF
 * 5, 6.4.2.
 */
#pragma once

#include "abi/types.h"

struct util_eh_section {
	const u8 *bytes;
	u64 vaddr, size;
};

struct util_fde {
	u64 start, size;
	u64 lsda;      /* address of the exception table, 0 = none */
	bool fragment; /* at its first instruction the stack is not as at a function's entry */
	bool signal;   /* a signal trampoline: starts one byte in front of the code */
};

/* Calls visit for each entry. 0, or -EBADMSG: broken (entries seen so far are good). */
int util_ehframe_walk(const struct util_eh_section *eh,
		      void (*visit)(const struct util_fde *fde, void *arg), void *arg);

/* Calls visit with the address of each landing pad of one exception table. `table` holds the bytes
 * at and behind lsda; func is the start of the function it belongs to. Format: as produced by GCC
 * and LLVM (the C++ ABI's "LSDA"). */
int util_lsda_walk(const struct util_eh_section *table, u64 lsda, u64 func,
		   void (*visit)(u64 pad, void *arg), void *arg);
