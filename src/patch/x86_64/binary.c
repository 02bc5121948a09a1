/* SPDX-License-Identifier: MIT */
#include "patch/x86_64/binary.h"

#include <errno.h>
#include <stdlib.h>

#define TEXT_MAX (4ull << 30)

static int check_desc(const struct patch_binary_desc *d)
{
	for (u32 i = 0; i < d->nseg; i++)
		if (d->seg[i].size > TEXT_MAX || d->seg[i].vaddr + d->seg[i].size < d->seg[i].vaddr)
			return -EINVAL;
	for (u32 i = 0; i < d->ndata; i++)
		if (d->data[i].vaddr + d->data[i].size < d->data[i].vaddr)
			return -EINVAL;
	for (u32 i = 0; i < d->nfunc; i++)
		if ((i && d->func[i - 1].vaddr > d->func[i].vaddr) ||
		    d->func[i].vaddr + d->func[i].size < d->func[i].vaddr)
			return -EINVAL;
	return 0;
}

static int text_init(struct text *t, const struct patch_segment *s)
{
	size_t words = s->size / 64 + 2;

	t->lo = s->vaddr;
	t->hi = s->vaddr + s->size;
	t->bytes = s->bytes;
	t->target = calloc(5 * words, sizeof(u64));
	if (!t->target)
		return -ENOMEM;
	t->start = t->target + words;
	t->dead = t->start + words;
	t->idle = t->dead + words;
	t->guess = t->idle + words;
	return 0;
}

static int alloc_all(struct patch_binary *b)
{
	const struct patch_binary_desc *d = &b->desc;

	b->text = calloc(d->nseg + 1, sizeof(*b->text));
	b->info = calloc(d->nfunc + 1, sizeof(*b->info));
	if (!b->text || !b->info)
		return -ENOMEM;
	for (u32 i = 0; i < d->nseg; i++)
		if (text_init(&b->text[i], &d->seg[i]))
			return -ENOMEM;
	return 0;
}

/* After the sweep: what was guessed to be a target and is the start of an instruction. */
static void use_guesses(struct patch_binary *b)
{
	for (u32 i = 0; i < b->desc.nseg; i++) {
		struct text *t = &b->text[i];

		for (u64 k = 0; k <= (t->hi - t->lo) / 64; k++)
			t->target[k] |= t->guess[k] & t->start[k];
	}
}

static int analyse(struct patch_binary *b)
{
	struct table_list tables = { 0 };
	struct run_list runs = { 0 }, idle = { 0 };
	int r;

	for (u32 i = 0; i < b->desc.nfunc; i++)
		binary_mark_target(b, b->desc.func[i].vaddr);
	for (u32 i = 0; i < b->desc.ncode_ptr; i++)
		if (b->desc.fixed)
			binary_mark_guess(b, b->desc.code_ptr[i]);
		else
			binary_mark_target(b, b->desc.code_ptr[i]);
	r = sweep_code(b, &tables, &runs, &idle);
	use_guesses(b);
	if (!r)
		r = jump_tables_read(b, &tables);
	if (!r) {
		dead_mark(b, &runs);
		idle_mark(b, &idle);
	}
	free(tables.table);
	free(runs.run);
	free(idle.run);
	return r;
}

int patch_binary_new(const struct patch_binary_desc *desc, struct patch_binary **ret)
{
	struct patch_binary *b;
	int r = check_desc(desc);

	if (r)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->desc = *desc;
	r = alloc_all(b);
	if (!r)
		r = analyse(b);
	if (r) {
		patch_binary_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

void patch_binary_free(struct patch_binary *b)
{
	if (!b)
		return;
	for (u32 i = 0; b->text && i < b->desc.nseg; i++)
		free(b->text[i].target);
	free(b->text);
	free(b->info);
	free(b);
}

s64 binary_func_at(const struct patch_binary *b, u64 addr)
{
	const struct patch_func *f = b->desc.func;
	s64 lo = 0, hi = b->desc.nfunc; /* f[lo - 1].vaddr <= addr < f[hi].vaddr */
	u64 start;

	while (lo < hi) {
		s64 mid = (lo + hi) / 2;

		if (f[mid].vaddr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return -1;
	start = f[--lo].vaddr;
	while (lo && f[lo - 1].vaddr == start)
		lo--;
	return lo;
}

int patch_binary_next_insn(const struct patch_binary *b, u64 vaddr, u64 *ret)
{
	u64 best = ~0ull;

	for (u32 i = 0; i < b->desc.nseg; i++) {
		const struct text *t = &b->text[i];

		for (u64 k = vaddr > t->lo ? vaddr - t->lo : 0; k < t->hi - t->lo && t->lo + k < best; k++)
			if (bit_test(t->start, k) && !bit_test(t->dead, k) && !bit_test(t->idle, k))
				best = t->lo + k;
	}
	if (best == ~0ull)
		return -ENOENT;
	*ret = best;
	return 0;
}
