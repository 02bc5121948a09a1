/* SPDX-License-Identifier: MIT */
/*
 * How deep a thread is in calls that will be reported at their return. The kernel keeps a list of
 * them per task, newest first, and takes no note of a call when 64 of them have yet to return
 * (MAX_URETPROBE_DEPTH, prepare_uretprobe() in kernel/events/uprobes.c). So do we:
 *
 *     row.top -> entry -> entry -> 0        linked by nt_ret_entry.next while in use
 *     row.depth = their number, about
 *
 * A call that was left by longjmp or an exception never returns. Its word lies at or below that of
 * a call which begins later on the same stack, that is how it is seen here and in the kernel. (At
 * the same word the earlier call is dead too, unless the later one was reached by a tail jump: then
 * the word holds the address of a thunk.)
 *
 * Coroutines return out of order, on stacks of their own, sometimes never. The list and the number
 * are then wrong, which is why nothing is decided by them but whether a call is reported: entries
 * are taken back by their exit, or by the reaper (ret.c). Words of one stack lie close together, so
 * only those are counted that do; a process with hundreds of suspended coroutines is not taken for
 * one deep recursion.
 *
 * Dispatchers do the common case themselves and come here when the newest call is not alive for
 * sure, or the number is reached. A signal handler that interrupts us begins and ends calls of its
 * own, after which everything is as before.
 */
#include "base/atomic.h"
#include "payload/payload.h"
#include "payload/region.h"
#include "payload/row.h"

#define DEPTH_MAX 64u
#define SAME_STACK 32768u /* two calls on one stack, one called by the other: their words are no further apart */

static struct nt_ret_entry *entry_at(u64 addr)
{
	u64 off = addr - nt_state.pool;

	return off < (u64)nt_state.pool_n * sizeof(struct nt_ret_entry) ? (void *)addr : NULL;
}

static bool is_alive(const struct nt_ret_entry *e, u64 word_at)
{
	u64 sp = at_load(&e->sp);

	return sp > word_at || (sp == word_at && region_contains(*(const u64 *)word_at));
}

/* The newest call that can still return; those that cannot are off the list. */
static struct nt_ret_entry *drop_dead(struct nt_row *row, u64 word_at)
{
	struct nt_ret_entry *e = entry_at(row->top);

	for (u32 n = 0; e && n < 2 * DEPTH_MAX && !is_alive(e, word_at); n++) {
		e = entry_at(at_load(&e->next));
		if (row->depth)
			row->depth--;
	}
	row->top = (u64)e;
	if (!e)
		row->depth = 0;
	return e;
}

static u32 count(struct nt_ret_entry *e, u64 word_at)
{
	u32 n = 0;

	for (; e && n < DEPTH_MAX; n++) {
		u64 sp = at_load(&e->sp);

		if (sp - word_at >= SAME_STACK)
			break;
		word_at = sp;
		e = entry_at(at_load(&e->next));
	}
	return n;
}

bool depth_allows(struct nt_row *row, u64 word_at)
{
	struct nt_ret_entry *top = drop_dead(row, word_at);

	if (row->depth >= DEPTH_MAX)
		row->depth = count(top, word_at);
	if (row->depth < DEPTH_MAX)
		return true;
	row->missed++;
	return false;
}

struct nt_row *ret_deep(u64 word_at)
{
	struct nt_row *row = row_find_or_add();

	return row && depth_allows(row, word_at) ? row : NULL;
}
