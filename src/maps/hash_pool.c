/* SPDX-License-Identifier: MIT */
/*
 * Free elements. Per stripe and class there is a stack (elements given back) and a counter
 * (elements of the stripe's share never used so far: a large map costs no memory until it fills).
 * An empty stripe takes from the others.
 *
 * Full means full. An insertion that finds no element must not report "full" because another one
 * just holds the last element and is about to link the same key, or a deletion is about to give one
 * back. Such operations are counted in `moving`; who finds nothing waits for them, looks once more
 * after the count was zero, and then gives up. The count is only advice: a killed process leaves it
 * too high, so waiting is bounded and who waited in vain clears it.
 *
 * A process killed while it holds an element loses it: the map then holds one entry less.
 */
#include "maps/hash.h"

#include "base/syscall.h"

#define POOL_TRIES (1u << 12) /* of one compare-and-swap that others keep winning */
#define POOL_SPINS 256u
#define POOL_YIELDS 64u

static struct hash_list *pool_list(const struct nt_map_view *v, u32 stripe, enum hash_class class)
{
	return &hash_ctl(v)->stripe[stripe % HASH_STRIPES].list[class];
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

void hash_pool_enter(const struct nt_map_view *v, u32 stripe)
{
	at_add(&pool_list(v, stripe, HASH_ENTRY)->moving, 1);
}

void hash_pool_leave(const struct nt_map_view *v, u32 stripe)
{
	u32 *moving = &pool_list(v, stripe, HASH_ENTRY)->moving, was = at_load(moving);

	/* Not below zero: somebody may have cleared the count while we were stopped. */
	for (u32 tries = POOL_TRIES; was && tries; tries--)
		if (at_cas(moving, &was, was - 1))
			return;
}

static bool pool_is_moving(const struct nt_map_view *v)
{
	for (u32 i = 0; i < HASH_STRIPES; i++)
		if (at_load_acq(&pool_list(v, i, HASH_ENTRY)->moving))
			return true;
	return false;
}

bool hash_pool_wait(const struct nt_map_view *v, const struct nt_caller *c, struct hash_patience *p)
{
	if (!pool_is_moving(v)) {
		/* Who left in between has linked or given back: one more look sees it. */
		if (p->last)
			return false;
		p->last = true;
		return true;
	}
	p->last = false;
	p->rounds++;
	if (p->rounds <= POOL_SPINS) {
		at_pause();
		return true;
	}
	if (!(c->flags & NT_CALLER_NO_SYSCALL) && p->rounds <= POOL_SPINS + POOL_YIELDS) {
		sys_call3(__NR_sched_yield, 0, 0, 0);
		return true;
	}
	for (u32 i = 0; i < HASH_STRIPES; i++)
		at_store(&pool_list(v, i, HASH_ENTRY)->moving, 0);
	return false;
}
