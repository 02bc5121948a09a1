/* SPDX-License-Identifier: MIT */
#include "shim/lock.h"

#include <linux/futex.h>

#include "base/atomic.h"
#include "base/syscall.h"

#define LOCK_WAITED 0x80000000u /* somebody sleeps on it; process ids are smaller */

void lock_take(u32 *word)
{
	u32 self = (u32)sys_call3(__NR_getpid, 0, 0, 0), mark = self, cur = 0;

	while (!at_cas(word, &cur, mark)) {
		if (cur && (cur & ~LOCK_WAITED) != self) {
			/* The parent's: try again to take it from that value. */
			if (at_cas(word, &cur, mark))
				return;
			cur = 0;
			continue;
		}
		if (cur & LOCK_WAITED || at_cas(word, &cur, cur | LOCK_WAITED))
			sys_call6(__NR_futex, (u64)word, FUTEX_WAIT_PRIVATE, self | LOCK_WAITED, 0,
				  0, 0);
		mark = self | LOCK_WAITED; /* others may still sleep */
		cur = 0;
	}
}

void lock_drop(u32 *word)
{
	if (at_xchg(word, 0u) & LOCK_WAITED)
		sys_call3(__NR_futex, (u64)word, FUTEX_WAKE_PRIVATE, 1);
}
