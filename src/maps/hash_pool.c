/* SPDX-License-Identifier: MIT */
/*
 * Free elements. Per stripe and class there is a stack (elements given back) and a counter
 * (elements of the stripe's share never used so far: a large map costs no memory until it fills).
 * An empty stripe takes from the others.
 *
 * Full means full. An insertion that finds no element must not report "full" because another one
 * just holds the last element, to link the same key or to give it back after losing the race for
 * its own, or because a deletion is about to give one back. Each stripe counts such operations in
 * one word:
 *
 *     bit  63 .. 32              31 .. 16   15 .. 0
 *         operations ever begun |  epoch  |  operations under way
 *
 * Rules.
 * 1. "Full" is said when, between two readings of all words, nothing was under way and nothing
 * began, while the key was looked for and no element was free: during that time nothing could
 * change, so the map was full. Who finds nothing free does not count itself: else those that wait
 * at a full map would wait for each other.
 * 2. Who is under way may be without a CPU for a long time, so the waiting spins, then yields, then
 * sleeps. It must end all the same: a killed process leaves its count behind for ever. Who waited
 * in vain, or finds that the only one under way is dead, sets the count of those words to zero and begins a new epoch, so that late leavers of the
 * old one do not take away the count of somebody else, and nobody else waits for them.
 * 3. A signal handler does not wait for what it has interrupted (holder).
 * 4. Where others insert and delete all the time, a full map may never be seen at rest. When all
 * that was under way has ended POOL_LAPS times over and there still was nothing to take, it is
 * full.
 *
 * A process killed while it holds an element loses it: the map then holds one entry less.
 */
#include "maps/hash.h"

#include <linux/time_types.h>

#include "base/syscall.h"
#include "maps/lock.h"

#define POOL_TRIES (1u << 12) /* of one compare-and-swap that others keep winning */
#define POOL_SPINS 128u
#define POOL_SPINS_ONLY 2048u /* for who may not enter the kernel, */
#define POOL_PAUSES_ONLY 512u /* each so long that all outlast a time slice */
#define POOL_YIELDS 64u
#define POOL_ASK (POOL_SPINS + POOL_YIELDS) /* in this round who it is that is under way */
#define POOL_SLEEPS 300u
#define POOL_SLEEP_NS 1000000
#define POOL_LAPS 64u

#define MOVING_ONE (1ull << 32 | 1)
#define MOVING_EPOCH (1ull << 16)
#define MOVING_COUNT (MOVING_EPOCH - 1)
_Static_assert(HASH_STRIPES <= 16, "one bit each in struct hash_patience");

static struct hash_list *pool_list(const struct nt_map_view *v, u32 stripe, enum hash_class class)
{
	return &hash_ctl(v)->stripe[stripe % HASH_STRIPES].list[class];
}

static u64 *pool_moving(const struct nt_map_view *v, u32 stripe)
{
	return &hash_ctl(v)->stripe[stripe % HASH_STRIPES].moving;
}

static u32 *pool_holder(const struct nt_map_view *v, u32 stripe)
{
	return &hash_ctl(v)->stripe[stripe % HASH_STRIPES].holder;
}

/* The numbers [*ret_first, *ret_first + result) are this stripe's. */
static u32 pool_share(const struct nt_map_view *v, u32 stripe, enum hash_class class,
		      u32 *ret_first)
{
	u64 n = class == HASH_ENTRY ? v->max_entries : HASH_SPARES;
	u64 from = n * stripe / HASH_STRIPES, to = n * (stripe + 1) / HASH_STRIPES;

	*ret_first = (u32)from + 1 + (class == HASH_ENTRY ? 0 : v->max_entries);
	return (u32)(to - from);
}

static u32 pool_take_from(const struct nt_map_view *v, u32 stripe, enum hash_class class)
{
	struct hash_list *list = pool_list(v, stripe, class);
	u64 top = at_load_acq(&list->top);
	u32 first, share, fresh;

	for (u32 tries = POOL_TRIES; link_index(top) && tries; tries--) {
		struct hash_elem *e = hash_elem(v, link_index(top));

		if (!e)
			break;
		/* If e is taken meanwhile this is no link of the stack, and top's version is
		 * another. */
		if (at_cas(&list->top, &top, link_after(top, link_index(at_load(&e->next)), 0)))
			return link_index(top);
	}
	share = pool_share(v, stripe, class, &first);
	fresh = at_load(&list->fresh);
	for (u32 tries = POOL_TRIES; fresh < share && tries; tries--)
		if (at_cas(&list->fresh, &fresh, fresh + 1))
			return first + fresh;
	return 0;
}

u32 hash_pool_take(const struct nt_map_view *v, u32 stripe, enum hash_class class)
{
	for (u32 i = 0; i < HASH_STRIPES; i++) {
		u32 idx = pool_take_from(v, (stripe + i) % HASH_STRIPES, class);

		if (idx)
			return idx;
	}
	return 0;
}

void hash_pool_give(const struct nt_map_view *v, u32 stripe, enum hash_class class, u32 idx)
{
	struct hash_list *list = pool_list(v, stripe, class);
	struct hash_elem *e = hash_elem_known(v, idx);
	u64 was = at_load(&e->next), top = at_load(&list->top);

	for (u32 tries = POOL_TRIES; tries; tries--) {
		at_store_rel(&e->next, link_after(was, link_index(top), HASH_REMOVED));
		if (at_cas(&list->top, &top, link_after(top, idx, 0)))
			return;
	}
}

bool hash_pool_has(const struct nt_map_view *v, u32 stripe)
{
	for (u32 i = 0; i < HASH_STRIPES; i++) {
		u32 s = (stripe + i) % HASH_STRIPES, first;
		struct hash_list *list = pool_list(v, s, HASH_ENTRY);

		if (hash_elem(v, link_index(at_load_acq(&list->top))) ||
		    at_load(&list->fresh) < pool_share(v, s, HASH_ENTRY, &first))
			return true;
	}
	return false;
}

static u32 moving_epoch(u64 word)
{
	return (u32)(word / MOVING_EPOCH) & 0xffff;
}

u32 hash_pool_enter(const struct nt_map_view *v, const struct nt_caller *c)
{
	u32 ticket = moving_epoch(at_add(pool_moving(v, c->cpu), MOVING_ONE));

	if (!at_load(pool_holder(v, c->cpu))) /* the first one's stays, who may be dead */
		at_store(pool_holder(v, c->cpu), c->tid);
	return ticket;
}

void hash_pool_leave(const struct nt_map_view *v, const struct nt_caller *c, u32 ticket)
{
	u64 *moving = pool_moving(v, c->cpu), was = at_load(moving);

	/* First of all: whose tid is found there is still under way. */
	if (at_load(pool_holder(v, c->cpu)) == c->tid)
		at_store(pool_holder(v, c->cpu), 0);
	for (u32 tries = POOL_TRIES; tries; tries--)
		if (moving_epoch(was) != ticket || !(was & MOVING_COUNT) ||
		    at_cas(moving, &was, was - 1))
			return;
}

/* The stripes in motion, and how many operations have begun so far. */
static u16 pool_snapshot(const struct nt_map_view *v, const struct nt_caller *c, u32 *ret_entered)
{
	u32 busy = 0, entered = 0;

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* what was looked at before was read before */
	for (u32 i = 0; i < HASH_STRIPES; i++) {
		u64 word = at_load_acq(pool_moving(v, i));
		u32 count = word & MOVING_COUNT;

		entered += (u32)(word >> 32);
		if (count == 1 && at_load(pool_holder(v, i)) == c->tid)
			count = 0;
		busy |= (u32)(count != 0) << i;
	}
	*ret_entered = entered;
	return (u16)busy;
}

/* Whoever is under way there is forgotten. */
static void pool_give_up(const struct nt_map_view *v, u16 stripes)
{
	for (u32 i = 0; i < HASH_STRIPES; i++) {
		u64 *moving = pool_moving(v, i), was = at_load(moving), fresh;

		if (!(stripes >> i & 1))
			continue;
		fresh = was >> 32 << 32 | ((u64)(moving_epoch(was) + 1) & 0xffff) * MOVING_EPOCH;
		at_store(pool_holder(v, i), 0);
		at_cas(moving, &was, fresh);
	}
}

/* In each of these stripes one operation is under way, of a thread that is no more. */
static bool pool_is_abandoned(const struct nt_map_view *v, const struct nt_caller *c, u16 stripes)
{
	for (u32 i = 0; i < HASH_STRIPES; i++) {
		u32 holder = at_load(pool_holder(v, i));

		if (!(stripes >> i & 1))
			continue;
		if ((at_load(pool_moving(v, i)) & MOVING_COUNT) != 1 || !holder || !map_owner_is_dead(c, holder))
			return false;
	}
	return true;
}

/* False: waited long enough. */
static bool pool_rest(const struct nt_caller *c, u32 round)
{
	struct __kernel_timespec ts = {.tv_nsec = POOL_SLEEP_NS};
	bool spin_only = c->flags & NT_CALLER_NO_SYSCALL;

	if (round <= POOL_SPINS) {
		at_pause();
		return true;
	}
	if (spin_only) {
		for (u32 i = 0; i < POOL_PAUSES_ONLY; i++)
			at_pause();
		return round < POOL_SPINS + POOL_SPINS_ONLY;
	}
	if (round <= POOL_SPINS + POOL_YIELDS)
		sys_call3(__NR_sched_yield, 0, 0, 0);
	else
		sys_call3(__NR_nanosleep, (u64)&ts, 0, 0);
	return round < POOL_SPINS + POOL_YIELDS + POOL_SLEEPS;
}

bool hash_pool_wait(const struct nt_map_view *v, const struct nt_caller *c, struct hash_patience *p)
{
	bool first = !p->rounds++;
	u32 entered;
	u16 busy = pool_snapshot(v, c, &entered);

	if (!first && !busy && !p->busy && entered == p->entered)
		return false;
	p->unseen &= busy;
	if (!p->unseen) {
		p->unseen = busy;
		if (p->laps++ == POOL_LAPS)
			return false;
	}
	p->busy = busy;
	p->entered = entered;
	if (!busy)
		return true;
	if ((p->rounds != POOL_ASK || !pool_is_abandoned(v, c, p->unseen)) &&
	    pool_rest(c, p->rounds))
		return true;
	pool_give_up(v, p->unseen);
	return false;
}
