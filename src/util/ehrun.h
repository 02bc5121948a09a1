/* SPDX-License-Identifier: MIT */
/* One function's call frame instructions, run into rows. Internal to ehrows.c. */
#pragma once

#include "abi/unwind.h"
#include "util/dwarf.h"

#define EHRUN_COL_RIP 16u /* the return address's column on x86-64 */

struct ehrun_cie {
	u64 code_align;
	s64 data_align;
	u8 fde_enc;
	bool has_aug, signal, valid;
	struct dwarf_cur insns;
};

struct ehrun_table {
	struct nt_unwind_row *row;
	u32 n, cap;
	u64 base;
	int error;
};

/* Adds the rows of the function [start, start + size); error is set when there is no memory. */
void ehrun_fde(struct ehrun_table *t, const struct ehrun_cie *cie, struct dwarf_cur insns, u64 start, u64 size);
