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
 * are taken back by their exit, or by the reaper (ret.c). And the limit holds for a thread's own
 * stack only, the main thread's or what lies below the thread pointer: hundreds of suspended
 * coroutines are no deep recursion. (In the kernel they would be, if it did not kill them.)
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
#define MAIN_STACK (128ull << 20) /* the kernel leaves at least this much room below its end */
#define THREAD_STACK (8ull << 20) /* what C libraries give a thread, usually; its block is at the end */
#define LOOK 512u /* entries of the list, at most */

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

static bool on_own_stack(const struct nt_row *row, u64 at)
{
	return nt_state.stack_end - at < MAIN_STACK || row->fs - at < THREAD_STACK;
}

/* Those on the thread's own stack. Each lies above the one before, or at the same place (tail jumps). */
static u32 count(const struct nt_row *row, struct nt_ret_entry *e, u64 word_at)
{
	u32 n = 0;

	for (u32 i = 0; e && i < LOOK && n < DEPTH_MAX; i++, e = entry_at(at_load(&e->next))) {
		u64 sp = at_load(&e->sp);

		if (at_load(&e->row) != (u64)row || !at_load(&e->in_use) || !on_own_stack(row, sp))
			continue;
		if (sp < word_at)
			break;
		word_at = sp;
		n++;
	}
	return n;
}

bool depth_allows(struct nt_row *row, u64 word_at)
{
	struct nt_ret_entry *top = drop_dead(row, word_at);

	if (row->depth < DEPTH_MAX || !on_own_stack(row, word_at))
		return true;
	row->depth = count(row, top, word_at);
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
