/* SPDX-License-Identifier: MIT */
/*
 * Jump tables of position-independent code:
 *
 *     lea base, [rip + table]; movsxd x, [base + 4 * i]; add x, base; jmp x
 *
 * An entry is the distance of its target from the table, 4 bytes (8 with the large
 * code model). The table says nowhere how long it is and nobody says which lea loads a table: so
 * every address that a lea loads is read as one. An entry counts if it leads into the function that
 * loads the table, or into a fragment (.cold code). Reading goes on behind entries that do not, for
 * a while: a table can mix both with pieces nobody knows; but not beyond the next address that a
 * lea loads and that leads home at once, for read as part of this one its distances are wrong and
 * lead into the middle of everything. Tables of absolute addresses need
 * relocations, or are found in the data of a fixed binary: util/elf.c lists both as code pointers.
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

static bool is_fragment(const struct patch_binary *b, u64 addr)
{
	s64 f = binary_func_at(b, addr);

	return f >= 0 && b->desc.func[f].fragment;
}

/* Distance number k of the table at p. */
static s64 entry(const u8 *p, u32 size, u64 k)
{
	s32 d4;
	s64 d8;

	if (size == 4) {
		memcpy(&d4, p + 4 * k, 4);
		return d4;
	}
	memcpy(&d8, p + 8 * k, 8);
	return d8;
}

static bool leads_home(const struct patch_binary *b, const struct table *table, u64 to)
{
	return to - table->lo < table->hi - table->lo || is_fragment(b, to);
}

/* Is this one a table for sure, as far as its first entry tells? Then the one in front of it ends here. */
static bool is_table(const struct patch_binary *b, const struct table *table)
{
	u64 n = 0, to;
	const u8 *p = bytes_at(b, table->addr, &n);

	if (!p || n < 4 || table->addr % 4)
		return false;
	to = table->addr + (u64)entry(p, 4, 0);
	return to != table->addr && binary_text(b, to) && leads_home(b, table, to);
}

#define STRANGERS_MAX 64u /* entries in a row that lead elsewhere */

/* Returns the number of entries looked at. end = where the next table begins. */
static u64 read_table(struct patch_binary *b, const struct table *table, u64 end, u32 size, u64 max)
{
	u32 strangers = 0;
	u64 n = 0, k;
	const u8 *p = bytes_at(b, table->addr, &n);

	n = bits_min(bits_min(n, end - table->addr) / size, max);
	for (k = 0; p && k < n && strangers < STRANGERS_MAX; k++) {
		u64 to = table->addr + (u64)entry(p, size, k);
		struct text *t = to != table->addr ? binary_text(b, to) : NULL;

		if (!t)
			break;
		if (leads_home(b, table, to)) {
			bit_set(t->target, to - t->lo);
			strangers = 0;
		} else {
			strangers++;
		}
	}
	return k;
}

static int by_address(const void *x, const void *y)
{
	const struct table *a = x, *b = y;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return a->lo < b->lo ? -1 : a->lo > b->lo;
}

#define ENTRIES_MAX (1u << 16) /* of one table */
#define BUDGET (1ull << 26)    /* of all: a file made to cost us quadratic time gets no more */

/* end[i] = where the next table behind number i begins, for sure. */
static u64 *table_ends(const struct patch_binary *b, const struct table_list *l)
{
	u64 *end = calloc(l->n + 1, sizeof(*end)), next = ~0ull;

	for (size_t i = l->n; end && i--;) {
		/* those of one address in one go: they end at the next one, not at each other */
		size_t first = i;
		bool sure = false;

		while (first && l->table[first - 1].addr == l->table[i].addr)
			first--;
		for (size_t k = first; k <= i; k++) {
			end[k] = next;
			sure |= is_table(b, &l->table[k]);
		}
		if (sure)
			next = l->table[i].addr;
		i = first;
	}
	return end;
}

int jump_tables_read(struct patch_binary *b, const struct table_list *tables)
{
	const struct table *last = NULL;
	u64 budget = BUDGET, *end;

	if (tables->n)
		qsort(tables->table, tables->n, sizeof(*tables->table), by_address);
	end = table_ends(b, tables);
	if (!end)
		return -ENOMEM;
	for (size_t i = 0; i < tables->n && budget; i++) {
		const struct table *t = &tables->table[i];

		if (t->addr % 4 || (last && !by_address(last, t)))
			continue;
		last = t;
		budget -= bits_min(budget, read_table(b, t, end[i], 4, bits_min(budget, (u64)ENTRIES_MAX)));
		if (t->addr % 8 == 0)
			budget -= bits_min(budget,
					   read_table(b, t, end[i], 8, bits_min(budget, (u64)ENTRIES_MAX)));
	}
	free(end);
	return budget ? 0 : -E2BIG;
}
