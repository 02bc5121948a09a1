/* SPDX-License-Identifier: MIT */
/*
 * Letting go of the threads, without a trace.
 *
 * A thread whose system call begins again:
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
 * trace. But if the tracer ended while a thread stands at the entry, that would be a detach in that stop again. So it waits
 * even for one that gets no CPU for a long time.
 *
 * A signal that is ignored: the kernel drops it when it is sent, but not if the thread that it is sent to is traced, for
 * which SIGCHLD need only find one thread of ours. It wakes any thread of the process then, whose call says EINTR, and
 * nobody has a handler. Seized threads stop for it, and we put that right. So all threads stay seized until the last one
 * is where it belongs and no such signal is on its way to one, and then all are let go in one moment (exit_ptrace()). A
 * signal that is sent in the some 50 us from that look to that moment is the one that we cannot put right.
 *
 * All of them run meanwhile; it is only the tracer that waits.
 */
#include "inject/internal.h"

#include <signal.h>
#include <sys/ptrace.h>

#include "util/proc.h"

#define LAND_NS (3000 * INJECT_MS) /* longer than a thread waits for its turn */
#define ON_ITS_WAY_NS (200 * INJECT_MS) /* it may be blocked by all of them */
#define NAP_MIN 5000u
#define NAP_MAX 200000u

static u64 sig_bit(int sig)
{
	return 1ull << (sig - 1);
}

/* Instead of a detach, for a thread whose call begins again: lets it run into the call. False: it does not. */
static bool begin(struct inject_thread *th, int sig)
{
	if (th->dirty && ptrace(PTRACE_SETREGS, th->tid, NULL, &th->regs))
		return false;
	th->dirty = false;
	if (ptrace(PTRACE_SYSCALL, th->tid, NULL, (void *)(u64)sig))
		return false;
	th->stopped = false;
	th->sig = 0;
	th->landing = true;
	return true;
}

static void release_one(struct inject_target *t, struct inject_thread *th)
{
	if (th->stopped && !inject_thread_regs(th) && inject_repair(th))
		t->repaired++;
	th->landing = th->told = false;
	if (th->stopped && th->at == INJECT_AT_STOP && !th->sig && !th->group_stop && inject_thread_restarts(th) &&
	    begin(th, 0))
		return;
	if (!inject_thread_go_on(th))
		inject_thread_detach(t, th);
}

/* A signal on its way to a thread that was running. One that comes before the call is given to it where it stood before;
 * from then on it may be in a handler. */
static void meet_signal(struct inject_target *t, struct inject_thread *th, int sig)
{
	if (th->landing && !th->told) {
		th->dirty = true; /* back into the call */
	} else {
		th->have_regs = th->dirty = th->landing = false;
		th->wait.nr = -1;
		th->wait.began_ns = 0;
		if (!inject_thread_regs(th) && inject_repair(th))
			t->repaired++;
		inject_heal_one(t, th, false);
	}
	th->told = true;
	if (inject_thread_restarts(th) && begin(th, sig))
		return;
	th->landing = false;
	th->sig = sig;
	if (!inject_thread_go_on(th))
		inject_thread_detach(t, th);
}

static void look(struct inject_target *t, struct inject_thread *th)
{
	int sig;

	switch (inject_thread_poll(t, th, &sig)) {
	case INJECT_NOTHING: return;
	case INJECT_SIGNAL: meet_signal(t, th, sig); return;
	case INJECT_SYSCALL:
		th->landing = false;
		if (!ptrace(PTRACE_CONT, th->tid, NULL, NULL))
			th->stopped = false;
		return;
	case INJECT_STOP:
		if (sig == SIGTRAP) { /* an interrupt of ours that came while it was stopped already */
			meet_signal(t, th, 0);
			return;
		}
		inject_thread_detach(t, th); /* SIGSTOP: it stays where it is */
		/* fallthrough */
	case INJECT_GONE: th->landing = false;
	}
}

/* Of all that run. True: one is not yet in its call. */
static bool look_at_all(struct inject_target *t)
{
	bool landing = false;

	for (u32 i = 0; i < t->nthreads; i++) {
		struct inject_thread *th = &t->thread[i];

		if (th->seized && !th->stopped && !th->gone)
			look(t, th);
		landing |= th->landing;
	}
	return landing;
}

/* A signal that has no effect but to wake up one of the threads, which has not got to us yet. */
static bool signal_on_its_way(const struct inject_target *t)
{
	const u64 nothing = sig_bit(SIGCHLD) | sig_bit(SIGURG) | sig_bit(SIGWINCH) | sig_bit(SIGCONT);
	struct proc_status st;

	return !proc_status_read(t->pid, &st) && st.sig_pending & ~st.sig_blocked & ((nothing & ~st.sig_caught) | st.sig_ignored);
}

void inject_release_last(struct inject_target *t)
{
	u64 begin = inject_now_ns();

	inject_release(t);
	while (signal_on_its_way(t) && inject_now_ns() - begin < ON_ITS_WAY_NS) {
		inject_nap(NAP_MIN);
		while (look_at_all(t) && inject_now_ns() - begin < LAND_NS)
			inject_nap(NAP_MIN);
	}
}

void inject_release(struct inject_target *t)
{
	u64 deadline, nap = NAP_MIN;

	for (u32 i = 0; i < t->nthreads; i++)
		if (t->thread[i].stopped)
			release_one(t, &t->thread[i]);
	if (t->stopped)
		t->stop_end_ns = inject_now_ns();
	deadline = inject_now_ns() + LAND_NS;
	while (look_at_all(t) && inject_now_ns() < deadline) {
		inject_nap(nap);
		nap = nap < NAP_MAX ? 2 * nap : nap;
	}
	for (u32 i = 0; i < t->nthreads; i++)
		t->thread[i].landing = false;
}
