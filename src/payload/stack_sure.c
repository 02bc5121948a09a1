/* SPDX-License-Identifier: MIT */
/*
 * What is there for certain above a live frame:
 *
 *     main thread      everything up to the end of [stack]: one mapping, that nobody takes apart
 *     other threads    everything up to the thread block, if the thread runs on the stack that libc
 *                      gave it: its pages from the frame up to there are tried once (nt_row.sure)
 *     anything else    (signal stacks, coroutines) nothing
 */
#include "payload/stack_sure.h"

#include <asm/errno.h>

#include "base/atomic.h"
#include "payload/kernel.h"
#include "payload/thread.h"

#define MAIN_STACK_MAX (8u << 20)
#define THREAD_STACK_MAX (16u << 20)
#define SURE_PAGES_MAX 64u /* tried in one go */

/* rt_sigprocmask(2) reads the new mask before it looks at `how`: readable memory is -EINVAL. */
static bool page_is_there(u64 addr)
{
	return kernel_call6(__NR_rt_sigprocmask, ~0ull, addr, 0, 8, 0, 0) == -EINVAL;
}

static bool is_main_stack(u64 addr)
{
	return addr < nt_state.stack_end && nt_state.stack_end - addr < MAIN_STACK_MAX;
}

u64 stack_sure_main(u64 sp)
{
	return is_main_stack(sp) && page_is_there(sp & ~(u64)(NT_PAGE - 1)) ? nt_state.stack_end : 0;
}

/* A guard page ends every stack, so the pages that follow one another up to the thread block are of one stack. */
static u64 thread_stack_end(u64 here, u64 fs)
{
	u64 top = fs & ~(u64)(NT_PAGE - 1), page = here & ~(u64)(NT_PAGE - 1), sure;
	struct nt_row *row = row_find_or_add();

	if (!row || thread_tid() == thread_tgid())
		return 0;
	sure = top - (u64)at_load(&row->sure) * NT_PAGE;
	if (sure > page && (sure - page) / NT_PAGE > SURE_PAGES_MAX)
		return 0;
	if (sure <= page)
		return fs;
	for (; sure > page; sure -= NT_PAGE)
		if (!page_is_there(sure - NT_PAGE))
			return 0;
	at_store(&row->sure, (u32)((top - sure) / NT_PAGE));
	return fs;
}

u64 stack_sure_end(u64 here)
{
	u64 fs;

	if (is_main_stack(here))
		return nt_state.stack_end;
	fs = thread_pointer();
	return here < fs && fs - here < THREAD_STACK_MAX ? thread_stack_end(here, fs) : 0;
}
