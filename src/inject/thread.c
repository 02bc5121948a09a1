/* SPDX-License-Identifier: MIT */
/*
 * One thread of a target under ptrace. All waiting is polling with a deadline: there is no wait with a time limit, and
 * a thread that does not stop must not hold up the process that asked. See ptrace(2), "PTRACE_SEIZE".
 *
 * Which stop is which (the value waitpid gives, shifted by 8):
 *     event >> 8 == PTRACE_EVENT_STOP   our interrupt, or a group stop: here the kernel's restart logic has yet to run,
 *                                       so registers may be saved, replaced and put back
 *     SIGTRAP | 0x80                    entry or exit of a system call (PTRACE_O_TRACESYSGOOD)
 *     anything else                     a signal on its way: the next ptrace request names the signal to deliver
 */
#include "inject/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "util/proc.h"

#define EVENT_STOP 128 /* PTRACE_EVENT_STOP; libc's header calls it so only in newer versions */
#define SETTLE_TRIES 256
/* A thread on another CPU stops within microseconds; going to sleep and waking up takes many times that. One that waits
 * for our CPU gets it as soon as we nap. */
#define SPIN_NS 25000ull
#define MAX_NAP 500000ull
#define CHANCE_NS (50 * INJECT_MS)    /* who has run for so long and not stopped does not */
#define HELD_UP_NS (5000 * INJECT_MS) /* behind the deadline, at most */

static long ptrace_call(long req, const struct inject_thread *th, u64 addr, u64 data)
{
	return ptrace((enum __ptrace_request)req, th->tid, (void *)addr, (void *)data);
}

int inject_thread_add(struct inject_target *t, pid_t tid)
{
	if (t->nthreads == t->cap) {
		u32 cap = t->cap ? t->cap * 2 : 64;
		struct inject_thread *p = realloc(t->thread, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		t->thread = p;
		t->cap = cap;
	}
	t->thread[t->nthreads] = (struct inject_thread){.tid = tid};
	return (int)t->nthreads++;
}

void inject_threads_forget(struct inject_target *t)
{
	u32 n = 0;

	for (u32 i = 0; i < t->nthreads && t->held; i++) {
		const struct inject_thread *th = &t->thread[i];

		if (th->seized && !th->gone)
			t->thread[n++] = (struct inject_thread){.tid = th->tid, .seized = true};
	}
	t->nthreads = n;
}

/* The kernel says EPERM for a thread that is dead and for one that has a tracer, too. */
static int why_not_seized(const struct inject_thread *th)
{
	struct proc_status st;

	if (proc_status_read(th->tid, &st) || st.state == 'Z' || st.state == 'X')
		return -ESRCH;
	return st.tracer ? -EBUSY : -EPERM;
}

int inject_thread_seize(struct inject_target *t, struct inject_thread *th)
{
	if (ptrace_call(PTRACE_SEIZE, th, 0, PTRACE_O_TRACESYSGOOD)) {
		int err = errno;

		th->gone = true;
		return err == EPERM ? why_not_seized(th) : -err;
	}
	th->seized = true;
	return 0;
}

/* A call's entry or exit; or SIGTRAP: no signal of the program's, but what ptrace makes of an exec. */
static bool is_to_be_taken(int status)
{
	return status >> 16 != EVENT_STOP && (WSTOPSIG(status) & ~0x80) == SIGTRAP;
}

/*
 * Returns like waitpid(), with *ret_status 0 for a death.
 *
 * A traced thread that dies must be reaped by its tracer, or the process can never finish dying. Only a leader that is
 * our own child is left for whoever waits for it in this process: no second waiter is blocked, and its status is not
 * ours to eat.
 *
 * A stop is only looked at. Once its status has been taken the kernel has forgotten which signal it was for
 * (wait_task_stopped() in kernel/exit.c), and would deliver none if we were killed before we told it. So it waits there, whole,
 * until the next request of ours. Stops at calls are taken: what is left there would become a signal.
 */
static pid_t wait_now(struct inject_target *t, struct inject_thread *th, int *ret_status)
{
	siginfo_t si = {0};

	if (waitid(P_PID, (id_t)th->tid, &si, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL))
		return -1;
	if (!si.si_pid)
		return 0;
	*ret_status = 0;
	if (si.si_code == CLD_EXITED || si.si_code == CLD_KILLED || si.si_code == CLD_DUMPED)
		return t->own_child && th->tid == t->pid ? si.si_pid : waitpid(th->tid, ret_status, __WALL | WNOHANG);
	*ret_status = si.si_status << 8 | 0x7f; /* as waitpid() has it */
	if (!is_to_be_taken(*ret_status))
		return si.si_pid;
	si.si_pid = 0;
	return waitid(P_PID, (id_t)th->tid, &si, WSTOPPED | WNOHANG | __WALL) ? -1 : si.si_pid;
}

/*
 * A fault of the thread's own instruction. It is not to be handed on but forgotten: the instruction will run again and
 * fault again, with all that belongs to it (address, code), which a signal that is sent anew would have lost. Programs
 * make something of these: Go panics, Java throws.
 */
static bool will_come_again(const struct inject_thread *th, int sig)
{
	siginfo_t si;

	if (sig != SIGSEGV && sig != SIGBUS && sig != SIGFPE && sig != SIGILL)
		return false;
	return !ptrace(PTRACE_GETSIGINFO, th->tid, NULL, &si) && si.si_code > 0;
}

enum inject_event inject_thread_poll(struct inject_target *t, struct inject_thread *th, int *ret_sig)
{
	int status;
	pid_t w = wait_now(t, th, &status);

	if (w == 0 || (w < 0 && errno == EINTR))
		return INJECT_NOTHING;
	if (w < 0 || !WIFSTOPPED(status)) {
		th->gone = true;
		th->stopped = th->seized = false;
		return INJECT_GONE;
	}
	th->stopped = true;
	*ret_sig = WSTOPSIG(status);
	if (status >> 16 == EVENT_STOP)
		return INJECT_STOP;
	if (*ret_sig == (SIGTRAP | 0x80))
		return INJECT_SYSCALL;
	if (will_come_again(th, *ret_sig))
		*ret_sig = 0;
	return INJECT_SIGNAL;
}

/* A group leader that has died is not reported before all its threads are reaped: /proc knows it sooner. It stays
 * seized; the end of the tracer lets it go. */
static bool died_silently(struct inject_target *t, struct inject_thread *th)
{
	char state;

	if (!proc_thread_state(t->pid, th->tid, &state) && state != 'Z' && state != 'X')
		return false;
	th->gone = true;
	th->stopped = false;
	return true;
}

/*
 * On a crowded machine a thread may be told to stop, and willing, but not get to run; or be held up in a page fault by a busy
 * disk. *ran_ns: how long it had run at the first look, 0 before that.
 */
static bool is_held_up(struct inject_target *t, const struct inject_thread *th, u64 *ran_ns)
{
	u64 ran;
	char state;
	long nr;

	if (proc_thread_state(t->pid, th->tid, &state))
		return false;
	if (state == 'D')
		return !proc_thread_call(t->pid, th->tid, &nr) && !inject_call_is_vfork(nr);
	if (state != 'R' || proc_thread_ran(t->pid, th->tid, &ran))
		return false;
	if (!*ran_ns)
		*ran_ns = ran;
	return ran - *ran_ns < CHANCE_NS;
}

enum inject_event inject_thread_wait(struct inject_target *t, struct inject_thread *th,
				     u64 deadline_ns, int *ret_sig)
{
	u64 nap = 5000, spin_until = inject_now_ns() + SPIN_NS, ran_ns = 0;

	for (bool last = false;;) {
		enum inject_event ev = inject_thread_poll(t, th, ret_sig);

		if (ev != INJECT_NOTHING || last)
			return ev;
		if (inject_now_ns() < spin_until)
			continue;
		if (nap > MAX_NAP && died_silently(t, th))
			return INJECT_GONE;
		/* We may have been kept from looking ourselves: one more look, whatever the time is. */
		last = inject_now_ns() >= deadline_ns + HELD_UP_NS ||
		       (inject_now_ns() >= deadline_ns && !is_held_up(t, th, &ran_ns));
		if (last)
			continue;
		inject_nap(nap);
		if (nap <= MAX_NAP)
			nap *= 2;
	}
}

int inject_thread_halt(struct inject_target *t, struct inject_thread *th, u64 deadline_ns)
{
	int sig;

	switch (inject_thread_wait(t, th, deadline_ns, &sig)) {
	case INJECT_NOTHING: return -ETIMEDOUT;
	case INJECT_GONE: return -ESRCH;
	case INJECT_STOP:
		th->at = INJECT_AT_STOP;
		th->group_stop = sig != SIGTRAP;
		return 0;
	case INJECT_SYSCALL: /* not asked for here */
		th->at = INJECT_AT_SYSCALL_EXIT;
		return 0;
	case INJECT_SIGNAL:
		th->at = INJECT_AT_SIGNAL;
		th->sig = sig;
		return 0;
	}
	return -EINVAL;
}

int inject_thread_settle(struct inject_target *t, struct inject_thread *th, u64 deadline_ns)
{
	for (int i = 0; i < SETTLE_TRIES && th->at != INJECT_AT_STOP; i++) {
		u64 sig = (u64)th->sig;
		int r;

		/* Registers that the caller changed belong in front of a handler's frame. */
		if (th->dirty && ptrace_call(PTRACE_SETREGS, th, 0, (u64)&th->regs))
			return -ESRCH;
		th->dirty = th->have_regs = false;
		th->sig = 0;
		/* The interrupt asked for before is void once any stop has happened. */
		if (ptrace_call(PTRACE_INTERRUPT, th, 0, 0) || ptrace_call(PTRACE_CONT, th, 0, sig)) {
			inject_thread_poll(t, th, &r);
			return -ESRCH;
		}
		th->stopped = false;
		r = inject_thread_halt(t, th, deadline_ns);
		if (r)
			return r;
	}
	return th->at == INJECT_AT_STOP ? 0 : -ETIMEDOUT;
}

int inject_thread_regs(struct inject_thread *th)
{
	if (!th->stopped)
		return -ESRCH;
	if (th->have_regs)
		return 0;
	if (ptrace_call(PTRACE_GETREGS, th, 0, (u64)&th->regs))
		return -errno;
	th->have_regs = true;
	return 0;
}

int inject_thread_write_all(struct inject_target *t)
{
	int r = 0;

	for (u32 i = 0; i < t->nthreads; i++) {
		struct inject_thread *th = &t->thread[i];

		if (!th->stopped || !th->dirty || (int)i == t->borrowed)
			continue;
		if (!ptrace_call(PTRACE_SETREGS, th, 0, (u64)&th->regs))
			th->dirty = false;
		else if (errno != ESRCH && !r)
			r = -errno;
	}
	return r;
}

bool inject_thread_go_on(struct inject_thread *th)
{
	if (!th->stopped || th->gone || th->group_stop)
		return false;
	if (th->dirty && ptrace_call(PTRACE_SETREGS, th, 0, (u64)&th->regs))
		return false;
	th->dirty = false;
	if (th->unfiltered && ptrace_call(PTRACE_SETOPTIONS, th, 0, PTRACE_O_TRACESYSGOOD))
		return false;
	th->unfiltered = false;
	if (ptrace_call(PTRACE_CONT, th, 0, (u64)th->sig))
		return false;
	th->stopped = th->have_regs = false;
	th->sig = 0;
	return true;
}

void inject_thread_detach(struct inject_target *t, struct inject_thread *th)
{
	int sig;

	if (!th->seized || !th->stopped)
		return; /* a running one goes when the tracer ends */
	if (th->dirty)
		ptrace_call(PTRACE_SETREGS, th, 0, (u64)&th->regs);
	if (ptrace_call(PTRACE_DETACH, th, 0, (u64)th->sig) == 0)
		th->seized = false;
	else
		inject_thread_poll(t, th, &sig); /* killed while stopped: reap */
	th->stopped = th->have_regs = th->dirty = false;
	th->sig = 0;
}
