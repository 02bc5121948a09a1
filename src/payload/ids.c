/* SPDX-License-Identifier: MIT */
/*
 * A thread in another pid namespace than the broker cannot find out what it is called there. The broker notes it for
 * those that it sees when it comes; the others ask, and wait for the answer, once: what is wiped by a fork is asked for again. When there is
 * none (the broker is gone, the table is full), nobody asks for a while.
 */
#include "payload/ids.h"

#include "base/atomic.h"
#include "payload/clock.h"
#include "payload/rbrk.h"
#include "payload/thread.h"

#define AGAIN_NS 1000000000u

static u32 tid_there(u32 tid)
{
	const struct nt_ids *set = &nt_local.ids[tid % NT_IDS_SETS * NT_IDS_WAYS];

	for (u32 i = 0; i < NT_IDS_WAYS; i++) {
		u32 here = at_load(&set[i].here), there = at_load(&set[i].there);

		if (here == tid && at_load(&set[i].sum) == nt_ids_sum(here, there))
			return there;
	}
	return 0;
}

static bool is_known(u32 tid)
{
	return at_load(&nt_local.tgid_there) && tid_there(tid);
}

static void ask(u32 tid)
{
	u64 now = clock_ns(CLOCK_ID_MONOTONIC);

	if (now < at_load(&nt_local.ids_again_ns))
		return;
	at_add(&nt_state.ids_seq, 1);
	rbrk_ask();
	if (!is_known(tid))
		at_store(&nt_local.ids_again_ns, now + AGAIN_NS);
}

u64 ids_current(void)
{
	u32 tid = thread_tid(), there = 0;
	u64 tgid = 0;

	if (nt_state.flags & NT_STATE_PIDNS) {
		if (!is_known(tid))
			ask(tid);
		there = tid_there(tid);
		tgid = at_load(&nt_local.tgid_there);
	}
	if (there && tgid)
		return tgid << 32 | there;
	tgid = thread_tgid();
	return tgid && tid ? tgid << 32 | tid : 0;
}

u32 ids_owner(void)
{
	u32 tid = thread_tid(), there;

	if (!(nt_state.flags & NT_STATE_PIDNS))
		return tid;
	if (!is_known(tid))
		ask(tid);
	there = tid_there(tid);
	return there ? there : tid | NT_TID_LOCAL;
}
