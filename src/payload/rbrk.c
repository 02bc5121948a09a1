/* SPDX-License-Identifier: MIT */
/*
 * A process has just mapped or is about to unmap a library. The broker may want to patch it before
 * its code runs, so the thread waits, but never for long: the bound holds even if the broker hangs,
 * and once a wait was in vain there are no more until the broker has shown a sign of life to
 * anybody.
 */
#include <linux/futex.h>

#include "base/atomic.h"
#include "payload/bell.h"
#include "payload/clock.h"
#include "payload/kernel.h"

#define WAIT_NS 200000000u
#define WAIT_ROUNDS 64 /* somebody changes rbrk_done all the time without ever answering */

static void rbrk_wait(struct nt_bell *bell, u32 ticket)
{
	u64 end = clock_ns(CLOCK_ID_MONOTONIC) + WAIT_NS;
	s64 until[2] = {(s64)(end / 1000000000u), (s64)(end % 1000000000u)};
	u32 done = at_load_acq(&bell->rbrk_done), gave_up = at_load(&nt_local.rbrk_gave_up);

	if (gave_up && gave_up == done + 1)
		return;
	for (int i = 0; i < WAIT_ROUNDS && (s32)(done - ticket) < 0; i++) {
		s64 r = kernel_call6(__NR_futex, (u64)&bell->rbrk_done, FUTEX_WAIT_BITSET, done,
				     (u64)until, 0, FUTEX_BITSET_MATCH_ANY);

		if (r == -ETIMEDOUT) {
			at_store(&nt_local.rbrk_gave_up, done + 1);
			return;
		}
		if (r && r != -EAGAIN && r != -EINTR)
			return;
		done = at_load_acq(&bell->rbrk_done);
	}
}

void rbrk_notify(void)
{
	struct nt_bell *bell = (void *)nt_state.bell;
	u32 ticket;

	at_add(&nt_state.rbrk_seq, 1);
	if (!bell || !kernel_allowed())
		return;
	ticket = at_add(&bell->rbrk, 1) + 1;
	bell_ring();
	rbrk_wait(bell, ticket);
}
