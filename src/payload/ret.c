/* SPDX-License-Identifier: MIT */
/*
 * Where the dispatchers get their struct nt_ret_entry from.
 *
 *     pool      [ handed out .............. | never used ......... ]     one array per process
 *                                           ^ pool_next
 *     row.free  -> entry -> entry -> 0      one list per thread: dispatchers pop, exits push
 *
 * When the pool is used up, entries come back only by reaping: a call that was left by longjmp, by
 * an exception or by its thread's end never reaches its exit, and its entry stays in_use for ever.
 * Taking an entry from a call that will still return would send that return into nowhere, so the
 * rules are strict.
 *
 * What a live call shows. Its return address word, *(sp), goes through these values, and in_use is
 * 1 all the time:
 *
 *     ra               dispatcher: entry filled in, word not yet replaced
 *     into the slot    dispatcher: the slot's return address moved up
 *     into the thunk   the body runs; still after its ret (the red zone keeps it)
 *     ra               exit: real return address pushed; programs run; then in_use = 0
 *
 * If the body left by a tail jump to another probed function, that call has its own entry with the
 * same sp, its ra is our thunk, and the word shows its values: all of them are addresses of
 * regions, down to our thunk.
 * => a word that is neither ra nor an address in a region belongs to nobody who could come back.
 *
 * The dispatcher that called us has a word too, and no entry for it yet. No live call can show ra
 * there, unless ra itself is in a region (tail jump). This finds what piles up when a loop calls a
 * function that always longjmps.
 *
 * What may change while we look. The entry may be freed and taken again, by its own thread, between
 * any two loads. So the reaper marks it first: in_use 1 -> address of its own frame (unique among
 * the reapers alive). A call that ends stores 0, one that begins stores 1, so if the final
 * change from mark to 0 succeeds then the call has been the same and in use from before the word
 * was read until now.
 * Stores of others become visible in program order on x86, so a word that changed after in_use = 0
 * is not seen without it. Marks that a fork or a killed thread left behind count as in use and are
 * replaced.
 *
 * Not covered: a coroutine library that copies stacks away and back (a suspended call then shows
 * someone else's bytes). It takes an exhausted pool for it to matter.
 */
#include "base/atomic.h"
#include "payload/kernel.h"
#include "payload/region.h"
#include "payload/row.h"
#include "payload/safe_read.h"

#define BATCH 16u	/* entries per refill, and per look of the reaper: one system call */
#define LOOKS 16u	/* of one reap: bounds the time */
#define RETRY_AFTER 64u /* missed calls between two reaps that found nothing */

struct chain {
	struct nt_ret_entry *first, *last;
};

struct look {
	struct nt_ret_entry *entry[BATCH];
	struct safe_range word_at[BATCH];
	u64 word[BATCH];
	u32 n;
	u32 read;	/* bit per entry: word[] is valid */
	u32 unreadable; /* bit per entry: the stack is gone */
};

static void chain_add(struct chain *c, struct nt_ret_entry *e)
{
	if (c->last)
		c->last->next = (u64)e;
	else
		c->first = e;
	c->last = e;
}

/* Signal handlers of this thread pop and push too; all that they took is back when they return, so
 * a head that is the same as before is as good as before. */
static void chain_give(struct chain *c, struct nt_row *row)
{
	u64 old = at_load(&row->free);

	do
		c->last->next = old;
	while (!at_cas(&row->free, &old, (u64)c->first));
}

static void take_unused(struct chain *c)
{
	struct nt_ret_entry *pool = (void *)nt_state.pool;
	u32 next = at_load(&nt_state.pool_next), n;

	do {
		if (next >= nt_state.pool_n)
			return;
		n = bits_min(BATCH, nt_state.pool_n - next);
	} while (!at_cas(&nt_state.pool_next, &next, next + n));
	for (u32 i = 0; i < n; i++)
		chain_add(c, &pool[next + i]);
}

static void look_mark(struct look *l, struct nt_ret_entry *e)
{
	u64 use = at_load(&e->in_use);

	if (!use || !at_cas(&e->in_use, &use, (u64)l))
		return;
	l->entry[l->n] = e;
	l->word_at[l->n++] = (struct safe_range){at_load(&e->sp), sizeof(u64)};
}

static void look_read(struct look *l)
{
	u32 at = 0;

	while (at < l->n) {
		s64 r = safe_read_ranges(&l->word[at], &l->word_at[at], l->n - at);
		u32 words = r > 0 ? (u32)r / sizeof(u64) : 0;

		if (r == -EFAULT)
			l->unreadable |= 1u << at++;
		else if (!words)
			return;
		while (words--)
			l->read |= 1u << at++;
	}
}

static bool is_abandoned(const struct nt_ret_entry *e, u64 word, u64 own_word_at)
{
	if (word == e->thunk || region_contains(word))
		return false;
	return word != e->ra || e->sp == own_word_at;
}

static void look_decide(struct look *l, u64 own_word_at, struct chain *c)
{
	for (u32 i = 0; i < l->n; i++) {
		struct nt_ret_entry *e = l->entry[i];
		u64 mark = (u64)l;
		bool dead = l->unreadable & 1u << i ||
			    (l->read & 1u << i && is_abandoned(e, l->word[i], own_word_at));

		if (at_cas(&e->in_use, &mark, (u64)!dead) && dead)
			chain_add(c, e);
	}
}

/*
 * The address of the return address word that our caller's function has, 0 = not called by a
 * dispatcher. Above our return address lies the dispatcher's frame (struct nt_run, struct pt_regs),
 * then its return address into the slot, then the word; the address into the slot is the proof.
 */
static u64 own_word_addr(u64 frame)
{
	u64 into_slot_at = frame + 16 + sizeof(struct nt_run) + NT_PT_REGS_SIZE;
	u64 into_slot;

	if (safe_read(&into_slot, into_slot_at, sizeof(into_slot)) || !region_contains(into_slot))
		return 0;
	return into_slot_at + sizeof(u64);
}

/* Starts anywhere: entries of one place pile up together, and a loop that takes a fixed number of
 * entries per turn should not find itself always at the same function. */
static void reap(struct chain *c, struct nt_row *row, u64 frame)
{
	struct nt_ret_entry *pool = (void *)nt_state.pool;
	u32 n = nt_state.pool_n;
	u32 at = n ? (u32)(row_random(row) % n) : 0;
	u64 own_word_at = own_word_addr(frame);

	for (u32 i = 0; i < LOOKS && i * BATCH < n && !c->first; i++) {
		struct look l;

		l.n = l.read = l.unreadable = 0;
		for (u32 j = 0; j < bits_min(BATCH, n); j++, at = at + 1 < n ? at + 1 : 0)
			look_mark(&l, &pool[at]);
		look_read(&l);
		look_decide(&l, own_word_at, c);
	}
}

void *ret_refill(void)
{
	struct nt_row *row = row_find_or_add();
	struct chain c = {NULL, NULL};

	if (!row)
		return NULL;
	if (at_load(&row->free)) /* a signal handler was here in between */
		return (void *)row->free;
	take_unused(&c);
	if (!c.first && kernel_allowed() && row->missed % RETRY_AFTER == 0)
		reap(&c, row, (u64)__builtin_frame_address(0));
	if (!c.first) {
		row->missed++;
		return NULL;
	}
	chain_give(&c, row);
	return c.first;
}
