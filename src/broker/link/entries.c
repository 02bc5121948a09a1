/* SPDX-License-Identifier: MIT */
#include "broker/link/entries.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

#define REAPERS_MARK (1ull << 63)

static void find_newer(struct process *p, struct entries *e);

int entries_read(struct process *p, struct entries *ret)
{
	struct nt_ret_entry *e;
	u32 n = 0;
	int r = inject_read(&p->target, p->state + offsetof(struct nt_state, pool_next), &n, sizeof(n));

	if (r)
		return r;
	n = bits_min(n, (u32)((p->gates - p->pool) / sizeof(*e)));
	e = malloc((n + 1) * sizeof(*e));
	if (!e)
		return -ENOMEM;
	if (n)
		r = inject_read(&p->target, p->pool, e, n * sizeof(*e));
	if (r) {
		free(e);
		return r;
	}
	*ret = (struct entries){ .entry = e, .n = n };
	find_newer(p, ret);
	return 0;
}

void entries_deinit(struct entries *e)
{
	free(e->entry);
}

/* Where the slot of a pending call hands its return on to, 0 = nowhere. */
static u64 newer_slot(struct process *p, const struct nt_ret_entry *e)
{
	u64 newer = 0;

	if (inject_read(&p->target, e->slot + offsetof(struct nt_slot_meta, newer), &newer, sizeof(newer)))
		return 0;
	return newer;
}

static int compare_slots(const void *x, const void *y)
{
	const struct nt_ret_entry *a = x, *b = y;

	return a->slot < b->slot ? -1 : a->slot > b->slot;
}

static void find_newer(struct process *p, struct entries *e)
{
	u64 slot = 0, newer = 0;

	if (e->n)
		qsort(e->entry, e->n, sizeof(*e->entry), compare_slots);
	for (u32 i = 0; i < e->n; i++) {
		struct nt_ret_entry *at = &e->entry[i];

		if (!at->in_use)
			continue;
		if (at->slot != slot)
			newer = newer_slot(p, at);
		slot = at->slot;
		at->pad = newer;
	}
}

bool entries_need(const struct entries *e, const struct code_region *r)
{
	for (u32 i = 0; i < e->n; i++) {
		const struct nt_ret_entry *at = &e->entry[i];

		if (at->in_use && (at->thunk - r->base < r->size || at->slot - r->base < r->size || at->pad - r->base < r->size))
			return true;
	}
	return false;
}

static const struct code_region *region_of(const struct process *p, u64 addr)
{
	for (const struct code_region *r = p->regions; r; r = r->next)
		if (addr - r->base < r->size)
			return r;
	return NULL;
}

/* By word; on the same word by thread; of the same thread the newest first. */
static int compare_calls(const void *x, const void *y)
{
	const struct nt_ret_entry *a = *(struct nt_ret_entry *const *)x, *b = *(struct nt_ret_entry *const *)y;

	if (a->sp != b->sp)
		return a->sp < b->sp ? -1 : 1;
	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	return a->in_use > b->in_use ? -1 : a->in_use < b->in_use;
}

static void forget_overtaken(const struct process *p, struct nt_ret_entry **call, u32 n)
{
	const struct nt_ret_entry *fresh = NULL; /* the newest on its word that was called, not jumped to */

	for (u32 i = 0; i < n; i++) {
		struct nt_ret_entry *e = call[i];

		if (fresh && fresh->sp == e->sp && fresh->row == e->row)
			e->in_use = 0;
		else
			fresh = region_of(p, e->ra) ? NULL : e;
	}
}

static bool word_is_gone(struct process *p, const struct nt_ret_entry *e)
{
	u64 word;

	return inject_read(&p->target, e->sp, &word, sizeof(word)) || (word != e->ra && !region_of(p, word));
}

void entries_forget_abandoned(struct process *p, struct entries *e)
{
	struct nt_ret_entry **call = malloc((e->n + 1) * sizeof(struct nt_ret_entry *));
	u32 n = 0;

	if (!call)
		return;
	for (u32 i = 0; i < e->n; i++)
		if (e->entry[i].in_use && !(e->entry[i].in_use & REAPERS_MARK))
			call[n++] = &e->entry[i];
	qsort(call, n, sizeof(struct nt_ret_entry *), compare_calls);
	forget_overtaken(p, call, n);
	for (u32 i = 0; i < n; i++) {
		const struct code_region *r = region_of(p, call[i]->thunk);

		if (call[i]->in_use && r && !r->live && word_is_gone(p, call[i]))
			call[i]->in_use = 0;
	}
	free(call);
}
