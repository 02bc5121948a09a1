/* SPDX-License-Identifier: MIT */
/*
 * Functions of a Go program that has no symbols: the runtime's own table, .gopclntab, which cannot be stripped
 * (go/src/runtime/symtab.go: pcHeader, functab, _func). Where functions end it does not say: the padding behind is theirs.
 *
 *     header   magic, 2 zeros, instruction size, pointer size, then words: functions, files, [start of the text,] offsets of
 *              the names ... and, last, of the functions' table
 *     table    per function: its entry, offset of its struct; then where the last one ends. From Go 1.18 on u32, from the
 *              start of the text; before words, and addresses
 *     struct   entry; s32 offset of its name
 */
#include <string.h>

#include "util/elf/read.h"

enum { HEADER_WORDS_AT = 8, FUNCS_MAX = 4 << 20 };

struct table {
	const u8 *base;
	u64 size;
	bool narrow; /* u32 instead of words */
	u64 n, text, names, funcs; /* names, funcs: offsets */
};

static bool get(const struct table *t, u64 at, u32 size, u64 *ret)
{
	*ret = 0;
	if (at > t->size || t->size - at < size)
		return false;
	memcpy(ret, t->base + at, size);
	return true;
}

static bool read_header(struct table *t)
{
	u64 magic, word[8] = { 0 };
	u32 n;

	if (!get(t, 0, 4, &magic) || t->size < HEADER_WORDS_AT || t->base[4] || t->base[5] || t->base[7] != 8)
		return false;
	t->narrow = magic == 0xfffffff0 || magic == 0xfffffff1; /* Go 1.18, 1.20 */
	if (!t->narrow && magic != 0xfffffffa) /* 1.16 */
		return false;
	n = t->narrow ? 8 : 7;
	for (u32 i = 0; i < n; i++)
		if (!get(t, HEADER_WORDS_AT + 8 * i, 8, &word[i]))
			return false;
	t->n = word[0];
	t->text = t->narrow ? word[2] : 0;
	t->names = word[n - 5];
	t->funcs = word[n - 1];
	return t->n && t->n < FUNCS_MAX && (t->text || !t->narrow);
}

/* The i-th entry of the table: an address, and the function's name if it has one. */
static bool read_func(const struct table *t, u64 i, u64 *ret_entry, const char **ret_name)
{
	u32 size = t->narrow ? 4 : 8;
	u64 off, name;

	*ret_name = NULL;
	if (!get(t, t->funcs + 2 * size * i, size, ret_entry))
		return false;
	*ret_entry += t->text;
	if (i == t->n)
		return true;
	if (!get(t, t->funcs + 2 * size * i + size, size, &off) || !get(t, t->funcs + off + size, 4, &name))
		return false;
	name += t->names;
	if (name < t->size && t->base[name] && memchr(t->base + name, 0, t->size - name))
		*ret_name = (const char *)t->base + name;
	return true;
}

bool elfread_go_table(struct util_elf *e, u64 vaddr, void (*add)(struct util_elf *e, struct patch_func f))
{
	struct table t = { 0 };
	u64 entry, first = 0, last = 0;
	const char *name;

	t.base = elfread_bytes_at(e, vaddr, &t.size);
	if (!t.base || !read_header(&t))
		return false;
	for (u64 i = 0; i <= t.n; i++) {
		if (!read_func(&t, i, &entry, &name) || entry < last)
			return false;
		if (!i)
			first = entry;
		last = entry;
		if (i < t.n)
			add(e, (struct patch_func){ .vaddr = entry, .name = name });
	}
	e->desc.go_text = (struct patch_range){ first, last };
	return true;
}
