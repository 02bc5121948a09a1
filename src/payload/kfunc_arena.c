/* SPDX-License-Identifier: MIT */
/*
 * bpf_arena_alloc_pages, _reserve_pages, _free_pages. Follow kernel/bpf/arena.c. A page is free if no program has
 * allocated it and nobody, the loader that is, has touched it; the kernel of this machine knows the latter (mincore).
 * Where no system call may be made nothing is allocated. Freed pages are taken out of the file, so they are gone
 * in all processes and read as zero.
 */
#include <asm/errno.h>
#include <linux/mman.h>

#include "abi/bpf.h"
#include "base/bits.h"
#include "base/mem.h"
#include "base/syscall.h"
#include "maps/maps.h"
#include "payload/kfunc.h"
#include "payload/thread.h"

#define WINDOW 256u /* pages that are looked at in one go */
#define TRIES 16u   /* that others may be faster */

static bool may_enter_kernel(void)
{
	return !(nt_state.flags & NT_STATE_NO_SYSCALL);
}

static u8 *page_at(const struct nt_map_view *v, u32 page)
{
	return v->base + (u64)page * NT_PAGE;
}

static u32 page_of(const struct nt_map_view *v, u64 addr)
{
	return (u32)(addr - v->extra) / NT_PAGE;
}

/* Which of these pages are in use; ret[i] & 1. */
static bool look(const struct nt_map_view *v, u32 first, u32 n, u8 ret[WINDOW])
{
	if (sys_call3(__NR_mincore, (u64)page_at(v, first), (u64)n * NT_PAGE, (u64)ret))
		return false;
	for (u32 i = 0; i < n; i++)
		ret[i] |= arena_is_taken(v, first + i);
	return true;
}

/* All of [first, first + n) is free. */
static bool is_free(const struct nt_map_view *v, u32 first, u32 n)
{
	u8 used[WINDOW];

	while (n) {
		u32 k = bits_min(n, WINDOW);

		if (!look(v, first, k, used))
			return false;
		for (u32 i = 0; i < k; i++)
			if (used[i] & 1)
				return false;
		first += k;
		n -= k;
	}
	return true;
}

/* The first run of n free pages; max_entries: there is none. */
static u32 find_run(const struct nt_map_view *v, u32 n)
{
	u32 run = 0;
	u8 used[WINDOW];

	for (u32 at = 0; at < v->max_entries; at += WINDOW) {
		u32 k = bits_min(v->max_entries - at, WINDOW);

		if (!look(v, at, k, used))
			return v->max_entries;
		for (u32 i = 0; i < k; i++) {
			run = used[i] & 1 ? 0 : run + 1;
			if (run == n)
				return at + i + 1 - n;
		}
	}
	return v->max_entries;
}

static u64 user_address(const struct nt_map_view *v, u32 page)
{
	return v->extra + (u64)page * NT_PAGE;
}

static bool is_arena(const struct nt_map_view *v)
{
	return v->type == NT_BPF_MAP_TYPE_ARENA;
}

u64 kfunc_arena_alloc_pages(u64 map, u64 addr, u64 cnt, u64 node, u64 flags)
{
	const struct nt_map_view *v = (void *)map;
	u32 n = (u32)cnt, at = page_of(v, addr);

	if (!is_arena(v) || flags || !n || n > v->max_entries || !may_enter_kernel() || addr % NT_PAGE)
		return 0;
	if (addr)
		return at <= v->max_entries - n && is_free(v, at, n) && arena_take(v, at, n) ? user_address(v, at) : 0;
	for (u32 i = 0; i < TRIES; i++) {
		at = find_run(v, n);
		if (at == v->max_entries)
			return 0;
		if (arena_take(v, at, n))
			return user_address(v, at);
	}
	return 0;
}

u64 kfunc_arena_reserve_pages(u64 map, u64 addr, u64 cnt, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	u32 n = (u32)cnt, at = page_of(v, addr);

	if (!is_arena(v) || !n)
		return 0;
	if (n > v->max_entries || at > v->max_entries - n)
		return (u64)-EINVAL;
	return may_enter_kernel() && is_free(v, at, n) && arena_take(v, at, n) ? 0 : (u64)-EBUSY;
}

u64 kfunc_arena_free_pages(u64 map, u64 addr, u64 cnt, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	u32 n = (u32)cnt, at = page_of(v, addr);

	if (!is_arena(v) || !n || !addr || at >= v->max_entries)
		return 0;
	n = bits_min(n, v->max_entries - at);
	if (!may_enter_kernel() || sys_call3(__NR_madvise, (u64)page_at(v, at), (u64)n * NT_PAGE, MADV_REMOVE))
		mem_zero(page_at(v, at), (u64)n * NT_PAGE);
	arena_give(v, at, n);
	return 0;
}
