/* SPDX-License-Identifier: MIT */
/*
 * The race for a process that nobody holds back for us. What takes time (this thread) is there before it begins; one who
 * is seen is stopped first, and looked at then.
 *
 * A process in the midst of execve(2) may be seen by its new program already. Seizing it waits for the end of the call
 * (cred_guard_mutex), and the interrupt stops it in front of the first instruction.
 */
#include "inject/catch.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#include "inject/internal.h"

#define QUICK_NS (3 * INJECT_MS) /* then less often: it is the machine that is slow */
#define NAP_QUICK 30000u
#define NAP_SLOW 300000u
#define STOP_NS (100 * INJECT_MS)

static int take(struct inject_target *t, pid_t pid, const struct inject_hunt *h)
{
	struct inject_thread *th;
	int i, r;

	t->pid = pid;
	i = inject_thread_add(t, pid);
	if (i < 0)
		return i;
	th = &t->thread[i];
	r = inject_thread_seize(t, th);
	if (!r && ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
		r = -ESRCH;
	if (!r)
		r = inject_thread_halt(t, th, inject_now_ns() + STOP_NS);
	if (!r && !h->is_it(pid, h->arg))
		r = -EAGAIN;
	if (!r)
		t->seccomp_ok = h->seccomp_ok && h->seccomp_ok(pid, h->arg);
	if (!r)
		r = inject_caught_borrow(t, i);
	if (r)
		inject_release(t);
	return r;
}

static s64 do_hunt(struct inject_target *t, void *arg)
{
	const struct inject_hunt *h = arg;
	u64 begin = inject_now_ns(), now;
	struct inject_urgency u; /* ends with this thread, as its slack */

	inject_urgency_begin(&u);
	prctl(PR_SET_TIMERSLACK, 1);
	do {
		pid_t pid = h->next(h->arg);

		if (pid)
			return take(t, pid, h);
		now = inject_now_ns();
		inject_nap(now - begin < QUICK_NS ? NAP_QUICK : NAP_SLOW);
	} while (now < h->until_ns);
	return -ETIMEDOUT;
}

int inject_hunt(const struct inject_hunt *h, struct inject_target *ret)
{
	struct inject_target t = {.mem = -1, .pidfd = -1, .taskfd = -1, .borrowed = -1};
	int r = inject_tracer_begin(&t);

	return r ? r : inject_caught_open(&t, do_hunt, (void *)h, ret);
}
