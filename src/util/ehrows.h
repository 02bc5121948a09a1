/* SPDX-License-Identifier: MIT */
#pragma once

#include "abi/unwind.h"

/*
 * Unwind rules of an ELF file as a table, from its .eh_frame (found by its program headers, so stripped files have them
 * too). bytes: the whole file. *ret_rows is sorted and the caller's to free(); the file's first loaded address is
 * *ret_base. -ENOENT: the file has no unwind tables; -EBADMSG: broken ones (what was read before counts if there is
 * any); -ENOMEM.
 */
int util_ehrows_make(const u8 *bytes, u64 size, struct nt_unwind_row **ret_rows, u32 *ret_n, u64 *ret_base);
