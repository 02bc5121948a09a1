/* SPDX-License-Identifier: MIT */
/*
 * Arena: memory that programs and their loader share, page by page. Follows kernel/bpf/arena.c.
 *
 *     [max_entries pages][a bit per page: a program has allocated it]
 *
 * view.extra is where the pages are in the loader (user_vm_start, once it is known), which addresses in the arena are
 * relative to. Pages come into being when they are touched; those that nobody has allocated read as zero. Who is killed
 * in the middle of an allocation has lost the pages that he had marked, nothing else.
 */
#include "maps/maps.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "abi/bpf.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "maps/types.h"

#define ARENA_FLAGS (BPF_F_MMAPABLE | NT_BPF_F_SEGV_ON_FAULT | NT_BPF_F_NO_USER_CONV)
#define ARENA_MAX (1ull << 32)

/* arena_map_alloc() */
int arena_geometry(struct nt_map_view *v)
{
	u64 bytes = (u64)v->max_entries * NT_PAGE;

	if (v->key_size || v->value_size || !v->max_entries || !(v->flags & BPF_F_MMAPABLE) || v->flags & ~ARENA_FLAGS)
		return -EINVAL;
	if (v->extra % NT_PAGE)
		return -EINVAL;
	if (bytes > ARENA_MAX)
		return -E2BIG;
	if (v->extra >> 32 != (v->extra + bytes - 1) >> 32)
		return -ERANGE;
	v->ncpus = 1;
	v->ctl_off = bytes;
	v->size = bytes + bits_round_up(((u64)v->max_entries + 63) / 64 * 8, (u64)NT_PAGE);
	return 0;
}

static u64 *arena_word(const struct nt_map_view *v, u32 page)
{
	return (u64 *)(void *)(v->base + v->ctl_off) + page / 64;
}

bool arena_is_taken(const struct nt_map_view *v, u32 page)
{
	return page >= v->max_entries || at_load(arena_word(v, page)) >> page % 64 & 1;
}

static bool arena_take_one(const struct nt_map_view *v, u32 page)
{
	u64 *word = arena_word(v, page), bit = 1ull << page % 64, was = at_load(word);

	while (!(was & bit))
		if (at_cas(word, &was, was | bit))
			return true;
	return false;
}

static void arena_give_one(const struct nt_map_view *v, u32 page)
{
	u64 *word = arena_word(v, page), bit = 1ull << page % 64, was = at_load(word);

	while (!at_cas(word, &was, was & ~bit))
		;
}

bool arena_take(const struct nt_map_view *v, u32 first, u32 n)
{
	if (first > v->max_entries || n > v->max_entries - first)
		return false;
	for (u32 i = 0; i < n; i++) {
		if (arena_take_one(v, first + i))
			continue;
		arena_give(v, first, i);
		return false;
	}
	return true;
}

void arena_give(const struct nt_map_view *v, u32 first, u32 n)
{
	for (u32 i = 0; i < n && first + i < v->max_entries; i++)
		arena_give_one(v, first + i);
}
