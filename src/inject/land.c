/* SPDX-License-Identifier: MIT */
/*
 * Letting go of a thread whose system call begins again.
 *
 *     detach --> the kernel moves the program counter back to the call --> (waits for a CPU) --> makes the call
 *                                                                      ^
 *                                     a signal that comes here has its handler run, and then the call begins
 *
 * A program that waits in epoll_wait() until a signal interrupts it would have slept on: in its eyes it was in the call
 * when the signal was sent. On a crowded machine that moment is not short; threads that have just been woken wait for
 * their turn there. So such a thread is let go only inside of its call: it runs to the stop at the call's entry, and a
 * signal that arrives before that is given to it where it stood before, in the interrupted call. Then the
 * kernel decides, as ever: a handler: EINTR or what SA_RESTART says; none: the call begins again.
 *
 * A detach in that stop would have the call see a signal pending, and say EINTR (__ptrace_unlink() in kernel/ptrace.c). So
 * the thread is only told to go on; it stays seized until the tracer ends, which lets go of a running thread without a
 * trace. A signal that comes before that is delivered then. But if the tracer ended while a thread stands at the entry, that
 * would be a detach in that stop again. So it waits even for one that gets no CPU for a long time.
 *
 * All of them run meanwhile; it is only the tracer that waits.
 */
#include "inject/internal.h"

#include <sys/ptrace.h>

#define LAND_NS (3000 * INJECT_MS) /* longer than a thread waits for its turn */

static bool go_on(struct inject_thread *th, int sig)
{
	if (ptrace(PTRACE_SYSCALL, th->tid, NULL, (void *)(u64)sig))
		return false;
	th->stopped = false;
	th->landing = true;
	return true;
}

bool inject_land_begin(struct inject_thread *th)
{
	th->landing = false;
	if (!th->stopped || th->at != INJECT_AT_STOP || th->sig || th->group_stop || !inject_thread_restarts(th))
		return false;
	if (th->dirty && ptrace(PTRACE_SETREGS, th->tid, NULL, &th->regs))
		return false;
	th->dirty = false;
	return go_on(th, 0);
}

static void land(struct inject_target *t, struct inject_thread *th, u64 deadline)
{
	bool told = false; /* of a signal: from then on it may be in a handler */
	int sig;

	for (;;) {
		switch (inject_thread_wait(t, th, deadline, &sig)) {
		case INJECT_NOTHING: return;
		case INJECT_GONE: return;
		case INJECT_SYSCALL:
			if (!ptrace(PTRACE_CONT, th->tid, NULL, NULL))
				th->stopped = false;
			return;
		case INJECT_STOP: inject_thread_detach(t, th); return;
		case INJECT_SIGNAL:
			th->sig = sig;
			th->dirty = !told; /* back into the call */
			if (told) {
				inject_thread_detach(t, th);
				return;
			}
			if (ptrace(PTRACE_SETREGS, th->tid, NULL, &th->regs) || !go_on(th, sig)) {
				inject_thread_detach(t, th);
				return;
			}
			th->sig = 0;
			th->dirty = false;
			told = true;
		}
	}
}

void inject_land_all(struct inject_target *t)
{
	u64 deadline = inject_now_ns() + LAND_NS;

	for (u32 i = 0; i < t->nthreads; i++)
		if (t->thread[i].landing) {
			land(t, &t->thread[i], deadline);
			t->thread[i].landing = false;
		}
}
