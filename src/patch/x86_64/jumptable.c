/* SPDX-License-Identifier: MIT */
/*
 * Jump tables of position-independent code: `lea base, [rip + table]; movsxd x, [base + 4 * i]; add x, base; jmp x`.
 * An entry is the distance of its target from the table, 4 bytes (8 with the large code model). The table says
 * nowhere how long it is and nobody says which lea loads a table: so every address that a lea loads is read as one,
 * for as long as the entries lead into code. Reading too much marks a few targets that are none. Tables of absolute
 * addresses need relocations, or are found in the data of a fixed binary: util/elf.c lists both as code pointers.
 */
#include "patch/x86_64/binary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* The readable bytes from addr on; NULL if there are none. */
static const u8 *bytes_at(const struct patch_binary *b, u64 addr, u64 *ret_n)
{
	const struct patch_binary_desc *d = &b->desc;

	for (u32 i = 0; i < d->ndata + d->nseg; i++) {
		const struct patch_segment *s = i < d->ndata ? &d->data[i] : &d->seg[i - d->ndata];

		if (addr - s->vaddr < s->size) {
			*ret_n = s->size - (addr - s->vaddr);
			return s->bytes + (addr - s->vaddr);
		}
	}
	return NULL;
}

static u64 read_table(struct patch_binary *b, u64 table, u32 size, u64 max)
{
	const u8 *p;
	u64 n = 0, k;

	p = bytes_at(b, table, &n);
	n = bits_min(n / size, max);
	for (k = 0; p && k < n; k++) {
		s32 d4;
		s64 d8;
		struct text *t;

		if (size == 4) {
			memcpy(&d4, p + 4 * k, 4);
			d8 = d4;
		} else {
			memcpy(&d8, p + 8 * k, 8);
		}
		t = d8 ? binary_text(b, table + (u64)d8) : NULL;
		if (!t)
			break;
		bit_set(t->target, table + (u64)d8 - t->lo);
	}
	return k;
}

static int by_value(const void *x, const void *y)
{
	u64 a = *(const u64 *)x, b = *(const u64 *)y;

	return a < b ? -1 : a > b;
}

#define ENTRIES_MAX (1u << 16)	/* of one table */
#define BUDGET (1ull << 26)	/* of all: a file made to cost us quadratic time gets no more */

int jump_tables_read(struct patch_binary *b, const struct addr_list *tables)
{
	u64 last = 0, budget = BUDGET;

	if (tables->n)
		qsort(tables->addr, tables->n, sizeof(*tables->addr), by_value);
	for (size_t i = 0; i < tables->n; i++) {
		u64 a = tables->addr[i];

		if (a == last || a % 4)
			continue;
		last = a;
		budget -= bits_min(budget, read_table(b, a, 4, bits_min(budget, (u64)ENTRIES_MAX)));
		if (a % 8 == 0)
			budget -= bits_min(budget, read_table(b, a, 8, bits_min(budget, (u64)ENTRIES_MAX)));
		if (!budget)
			return -E2BIG;
	}
	return 0;
}
