/* SPDX-License-Identifier: MIT */
/*
 * bpf_send_signal, bpf_send_signal_thread. The kernel delivers when the program has long ended; a
 * signal that we send ourselves would arrive before the helper returns, and a deadly one would cut
 * the program off in the middle of its work. So signals wait in the thread's row until the program's
 * last instruction: compiled code then calls helper_deliver_signals().
 */
#include <asm/errno.h>

#include "base/atomic.h"
#include "payload/kernel.h"
#include "payload/row.h"
#include "payload/thread.h"

#define SIGNAL_LAST 64u
#define TO_THREAD 0x80u
#define SLOT_BITS 8u

typedef s64 send_fn(long nr, u64 a0, u64 a1, u64 a2);

static s64 send_now(long nr, u64 a0, u64 a1, u64 a2)
{
	return kernel_call3(nr, a0, a1, a2);
}

static s64 send(u32 what, send_fn *call)
{
	u32 sig = what & ~TO_THREAD, tgid = thread_tgid();

	if (!tgid || !kernel_allowed())
		return -EPERM;
	if (what & TO_THREAD)
		return call(__NR_tgkill, tgid, thread_tid(), sig);
	return call(__NR_kill, tgid, sig, 0);
}

/* Up to eight wait, a byte each; one that finds no room is sent at once. */
static u64 queue(u32 sig, u32 to)
{
	struct nt_row *row = row_find_or_add();
	u64 waiting;

	if (sig > SIGNAL_LAST)
		return (u64)-EINVAL;
	if (!kernel_allowed() || thread_tgid() == 1)
		return (u64)-EPERM;
	if (!sig)
		return 0;
	waiting = row ? at_load(&row->signals) : ~0ull;
	for (u32 shift = 0; shift < 64; shift += SLOT_BITS)
		if (!(waiting >> shift & 0xff)) {
			at_store(&row->signals, waiting | (u64)(sig | to) << shift);
			return 0;
		}
	return (u64)send(sig | to, send_now);
}

u64 helper_send_signal(u64 sig, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return queue((u32)sig, 0);
}

u64 helper_send_signal_thread(u64 sig, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return queue((u32)sig, TO_THREAD);
}

/* A handler may run inside send(), hit probes and queue signals of its own. */
u64 helper_deliver_signals(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	struct nt_row *row = row_find_or_add();
	u64 waiting = row ? at_xchg(&row->signals, 0ull) : 0;

	for (; waiting; waiting >>= SLOT_BITS)
		if (waiting & 0xff)
			send((u32)(waiting & 0xff), sent_call);
	return 0;
}
