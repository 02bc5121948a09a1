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
 * not 0 all the time:
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
 * there, unless ra itself is in a region (tail jump).
 *
 * What piles up. A loop that leaves functions by longjmp or exceptions makes the same calls at the
 * same addresses over and over. The newest call of a word may live, and then the word looks alive
 * for all the dead ones before it. So the word is not enough:
 * => a call is dead when a later one of the same thread began at the same word, unless by a tail
 *    jump: a call instruction has overwritten it.
 * in_use numbers the calls of a thread (nt_row.hits), and a table remembers by hash of sp which
 * entry was the newest; it is a hint only, the entry itself is the proof.
 *
 * What may change while we look. The entry may be freed and taken again, by its own thread, between
 * any two loads. So the reaper holds it: in_use changes to a mark, the address of the reaper's own
 * frame (unique among the reapers alive). A call that ends stores 0, one that begins stores its
 * number, so if the final change from the mark succeeds then all that was read in between is of
 * one call, and that call was in use.
 * Stores of others become visible in program order on x86, so a word that changed after in_use = 0
 * is not seen without it. Marks that a fork or a killed thread left behind count as in use, until
 * their call ends.
 *
 * Not covered: a coroutine library that copies stacks away and back (a suspended call then shows
 * someone else's bytes). It takes an exhausted pool for it to matter.
 */
#include "base/atomic.h"
#include "payload/kernel.h"
#include "payload/region.h"
#include "payload/row.h"
#include "payload/safe_read.h"

#define BATCH 16u	/* entries per refill */
#define LOOK 8u		/* entries per look of the reaper: small, there may be little stack */
#define WORD_LOOKS 32u	/* of one reap: they ask the kernel for words of stacks */
#define RETRY_AFTER 1024u /* missed calls after a reap that found nothing in the whole pool */
#define MARK (1ull << 63)

struct chain {
	struct nt_ret_entry *first, *last;
};

struct call { /* of a held entry, as it is */
	struct nt_ret_entry *entry;
	u64 number, row, sp, ra;
	bool dead;
};

struct look {
	struct call call[LOOK];
	u32 n;
};

static void chain_add(struct chain *c, struct nt_ret_entry *e)
{
	if (c->last)
		c->last->next = (u64)e;
	else
		c->first = e;
	c->last = e;
}

/* A dead call's own entry, and what its sessions had besides. */
static void chain_add_call(struct chain *c, struct nt_ret_entry *e)
{
	struct nt_ret_entry *more = (void *)e->more;

	e->more = 0;
	chain_add(c, e);
	while (more) {
		struct nt_ret_entry *next = (void *)more->more;

		more->more = 0;
		chain_add(c, more);
		more = next;
	}
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

/* --- holding --- */

static bool call_hold(struct nt_ret_entry *e, u64 mark, struct call *ret)
{
	u64 number = at_load(&e->in_use);

	if (!number || number & MARK || !at_cas(&e->in_use, &number, mark))
		return false;
	*ret = (struct call){e, number, at_load(&e->row), at_load(&e->sp), at_load(&e->ra), false};
	return true;
}

/* True: it is ours now. */
static bool call_release(const struct call *c, u64 mark)
{
	return at_cas(&c->entry->in_use, &mark, c->dead ? 0 : c->number) && c->dead;
}

/* --- by later calls --- */

static u32 *newest_at(u64 sp)
{
	return &nt_state.reap_newest[(sp >> 3) * NT_ROW_HASH_MUL >> 52];
}
_Static_assert(NT_REAP_BUCKETS == 1u << (64 - 52), "every hash has a bucket");

static bool is_overtaken(const struct call *c, const struct call *by)
{
	return by->row == c->row && by->sp == c->sp && by->number > c->number &&
	       !region_contains(by->ra);
}

/* The entry as what we hold it, or held from now on in *room. */
static struct call *call_find(struct look *l, struct nt_ret_entry *e, struct call *room)
{
	for (u32 i = 0; i < l->n; i++)
		if (l->call[i].entry == e)
			return &l->call[i];
	return call_hold(e, (u64)l | MARK, room) ? room : NULL;
}

static void look_overtaken(struct look *l, struct chain *chain)
{
	struct nt_ret_entry *pool = (void *)nt_state.pool;

	for (u32 i = 0; i < l->n; i++) {
		struct call *c = &l->call[i], *other = NULL, room;
		u32 *newest = newest_at(c->sp);
		u32 at = at_load(newest);

		if (at < nt_state.pool_n && &pool[at] != c->entry &&
		    at_load(&pool[at].sp) == c->sp)
			other = call_find(l, &pool[at], &room);
		if (other) {
			c->dead |= is_overtaken(c, other);
			other->dead |= is_overtaken(other, c);
		}
		if (!c->dead && !region_contains(c->ra))
			at_store(newest, (u32)(c->entry - pool));
		if (other == &room && call_release(&room, (u64)l | MARK))
			chain_add_call(chain, room.entry);
	}
}

/* --- by the word --- */

static bool is_abandoned(const struct call *c, u64 word, u64 own_word_at)
{
	if (word == c->entry->thunk || region_contains(word))
		return false;
	return word != c->ra || c->sp == own_word_at;
}

static void look_words(struct look *l, u64 own_word_at)
{
	struct safe_range word_at[LOOK];
	u64 word[LOOK];
	u32 at = 0;

	for (u32 i = 0; i < l->n; i++)
		word_at[i] = (struct safe_range){l->call[i].sp, sizeof(u64)};
	while (at < l->n) {
		s64 r = safe_read_ranges(&word[at], &word_at[at], l->n - at);
		u32 words = r > 0 ? (u32)r / sizeof(u64) : 0;

		if (r == -EFAULT) /* the stack is gone */
			l->call[at++].dead = true;
		else if (!words)
			return;
		for (; words--; at++)
			l->call[at].dead |= is_abandoned(&l->call[at], word[at], own_word_at);
	}
}

/* All reapers go round the pool together, and none for longer than once: usually a few steps. */
static void reap(struct chain *c, u64 own_word_at)
{
	struct nt_ret_entry *pool = (void *)nt_state.pool;
	u32 n = nt_state.pool_n;

	for (u32 i = 0; i * LOOK < n && !c->first; i++) {
		u64 at = at_add(&nt_state.reap_at, (u64)LOOK);
		struct look l = {.n = 0};
		bool found = c->first;

		for (u32 j = 0; j < bits_min(LOOK, n); j++)
			if (call_hold(&pool[(at + j) % n], (u64)&l | MARK, &l.call[l.n]))
				l.n++;
		look_overtaken(&l, c);
		for (u32 j = 0; j < l.n; j++)
			found |= l.call[j].dead;
		if (!found && i < WORD_LOOKS && kernel_allowed())
			look_words(&l, own_word_at);
		for (u32 j = 0; j < l.n; j++)
			if (call_release(&l.call[j], (u64)&l | MARK))
				chain_add_call(c, l.call[j].entry);
	}
}

/* word_at: of the call that needs an entry; 0 = unknown */
void *ret_refill(u64 word_at)
{
	struct nt_row *row = row_find_or_add();
	struct chain c = {NULL, NULL};

	if (!row)
		return NULL;
	if (at_load(&row->free)) /* a signal handler was here in between */
		return (void *)row->free;
	take_unused(&c);
	if (!c.first && row->missed % RETRY_AFTER == 0)
		reap(&c, word_at);
	if (!c.first) {
		row->missed++;
		return NULL;
	}
	chain_give(&c, row);
	return c.first;
}
