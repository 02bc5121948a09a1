/* SPDX-License-Identifier: MIT */
/*
 * The broker is asked for something, and the thread waits: a process has just mapped or is about to unmap a library,
 * which the broker may want to patch before its code runs (rbrk_notify()), or has a thread that nothing is known of
 * (ids.c). It never waits for long: the bound holds even if the broker hangs,
 * and once a wait was in vain there are no more until the broker has shown a sign of life to
 * anybody. A broker that is busy - a hundred processes start at once on a loaded machine - shows
 * that it gets on; then the bound begins anew, a few times.
 */
#include <linux/futex.h>

#include "base/atomic.h"
#include "payload/bell.h"
#include "payload/clock.h"
#include "payload/cpu.h"
#include "payload/kernel.h"
#include "payload/rbrk.h"

#define WAIT_NS 200000000u
#define WAIT_MORE 10	     /* times WAIT_NS */
#define WAIT_ROUNDS 256 /* somebody changes rbrk_done all the time without ever answering */

static s64 futex_wait(u32 *word, u32 seen, u64 end)
{
	s64 until[2] = {(s64)(end / 1000000000u), (s64)(end % 1000000000u)};

	return kernel_call6(__NR_futex, (u64)word, FUTEX_WAIT_BITSET, seen, (u64)until, 0, FUTEX_BITSET_MATCH_ANY);
}

/* Is somebody at work for us, maybe on another process? alive: nt_bell.alive as last seen, updated. Not the broker, but
 * its hands: those are busy with some process just now. */
static bool broker_gets_on(struct nt_bell *bell, u32 *alive)
{
	const u32 *gates = (const u32 *)nt_state.gates;
	u32 owner = gates ? at_load(&gates[NT_GATE_OWNER]) : 0, was = *alive;

	*alive = at_load(&bell->alive);
	return *alive != was || (owner && owner != at_load(&bell->owner_pid));
}

static void rbrk_wait(struct nt_bell *bell, u32 ticket)
{
	u64 end = clock_ns(CLOCK_ID_MONOTONIC) + WAIT_NS;
	u32 alive = at_load(&bell->alive), more = 0;
	u32 done = at_load_acq(&bell->rbrk_done), gave_up = at_load(&nt_local.rbrk_gave_up);

	if (gave_up && gave_up == done + 1)
		return;
	for (int i = 0; i < WAIT_ROUNDS && (s32)(done - ticket) < 0; i++) {
		s64 r = futex_wait(&bell->rbrk_done, done, end);

		if (r == -ETIMEDOUT && broker_gets_on(bell, &alive) && more++ < WAIT_MORE) {
			end += WAIT_NS;
			r = 0;
		}
		if (r == -ETIMEDOUT) {
			at_store(&nt_local.rbrk_gave_up, done + 1);
			return;
		}
		if (r && r != -EAGAIN && r != -EINTR)
			return;
		done = at_load_acq(&bell->rbrk_done);
	}
}

void rbrk_ask(void)
{
	struct nt_bell *bell = (void *)nt_state.bell;
	u32 ticket;

	if (!bell || !kernel_allowed())
		return;
	ticket = at_add(&bell->rbrk, 1) + 1;
	bell_ring();
	rbrk_wait(bell, ticket);
}

void rbrk_notify(void)
{
	if (!(nt_state.flags & NT_STATE_FS0)) /* so it was put in before there was a thread block */
		at_store(&nt_state.rbrk_fs, cpu_thread_base());
	at_add(&nt_state.rbrk_seq, 1);
	rbrk_ask();
}
