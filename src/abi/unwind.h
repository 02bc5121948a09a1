/* SPDX-License-Identifier: MIT */
/*
 * How to get from a frame to its caller's, for every address of a module: what the broker makes of the module's
 * .eh_frame (util/ehrows.c) and the payload reads (payload/stack.c). Rows are sorted by pc; a row holds up to the next
 * one. The return address is always at cfa - 8 and the caller's rsp is cfa.
 */
#pragma once

#include "abi/types.h"

enum nt_unwind_kind {
	NT_UNWIND_NONE,	  /* no code, or a rule that is not understood */
	NT_UNWIND_RSP,	  /* cfa = rsp + 8 * off */
	NT_UNWIND_RBP,	  /* cfa = rbp + 8 * off */
	NT_UNWIND_DEREF,  /* cfa = *(rbp - 8 * off): a function that aligned its stack */
	NT_UNWIND_PLT,	  /* cfa = rsp + 8, from byte `off` of each 16 on rsp + 16 */
	NT_UNWIND_SIGNAL, /* rsp points to what a signal interrupted (struct ucontext) */
	NT_UNWIND_END,	  /* nobody called this */
};

#define NT_UNWIND_RBP_SAME 0	/* nt_unwind_row.rbp: still the caller's */
#define NT_UNWIND_RBP_AT_RBP 127 /* saved where rbp points to; else at cfa + 8 * rbp */

struct nt_unwind_row {
	u32 pc; /* as in the ELF file, from the lowest loaded address on */
	u8 kind;
	s8 rbp;
	u16 off;
};
_Static_assert(sizeof(struct nt_unwind_row) == 8, "there are many");

#define NT_BUILD_ID_SIZE 20u /* BPF_BUILD_ID_SIZE; a shorter one is filled up with zeroes */

struct nt_unwind_module { /* one executable mapping of a process */
	u64 lo, hi; /* addresses [lo, hi); equal: free */
	u64 bias;   /* address - bias = nt_unwind_row.pc */
	u64 rows;   /* struct nt_unwind_row[nrows], read-only */
	u32 nrows;
	u32 seq; /* odd while the broker changes this entry */
	u64 ino; /* of the file */
	u64 off; /* of lo in the file */
	u8 build_id[NT_BUILD_ID_SIZE];
	u32 has_build_id;
};
