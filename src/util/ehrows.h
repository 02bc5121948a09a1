/* SPDX-License-Identifier: MIT */
#pragma once

#include "abi/unwind.h"

#define UTIL_EHROWS_SEGS 4u

struct util_ehrows {
	struct nt_unwind_row *row; /* [n], sorted; free() it */
	u32 n;
	u32 nsegs;
	struct {
		u64 off, size; /* executable bytes of the file */
		u64 pc;	       /* nt_unwind_row.pc of the first of them */
	} seg[UTIL_EHROWS_SEGS];
};

/*
 * Unwind rules of an ELF file as a table, from its .eh_frame (found by its program headers, so stripped files have them
 * too). bytes: the whole file. -ENOENT: the file has no unwind tables; -EBADMSG: broken ones (what was read before
 * counts if there is any); -ENOMEM.
 */
int util_ehrows_make(const u8 *bytes, u64 size, struct util_ehrows *ret);
/* The pc of the byte at this file offset. False: it is not code. */
bool util_ehrows_pc(const struct util_ehrows *t, u64 off, u64 *ret_pc);
