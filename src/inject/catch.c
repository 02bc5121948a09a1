/* SPDX-License-Identifier: MIT */
/*
 * The wait for a permission ends only with the answer or with death: an interrupt that is asked for meanwhile stays
 * pending and takes effect on the way to user mode. (Measured on 6.18: the program file is opened before execve(2)
 * takes the lock that attaching needs, too, so seizing does not block.) Anything that the thread passes on its way, like
 * the stop of an exec, is passed over.
 */
#include "inject/catch.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>

#include "inject/internal.h"

/* An exec by a thread that is not the leader makes it the leader, and loses the interrupt: that stops at the exec. */
static int seize(struct inject_target *t, struct inject_thread *th, const struct inject_catch *c)
{
	if (c->tid == c->pid)
		return inject_thread_seize(t, th);
	if (ptrace(PTRACE_SEIZE, c->tid, NULL, (void *)PTRACE_O_TRACEEXEC))
		return errno == EPERM ? -EBUSY : -errno;
	th->seized = true;
	return 0;
}

static int wait_for_stop(struct inject_target *t, struct inject_thread *th, const struct inject_catch *c)
{
	u64 deadline = inject_now_ns() + c->timeout_ms * INJECT_MS;
	int r = inject_thread_halt(t, th, deadline);

	/* It has the leader's number from some moment on, and no other. */
	while (r == -ESRCH && c->tid != c->pid && inject_now_ns() < deadline) {
		inject_nap(100000);
		th->tid = c->pid;
		th->gone = false;
		th->seized = true;
		r = inject_thread_halt(t, th, deadline);
	}
	if (!r && c->tid != c->pid && th->at == INJECT_AT_SIGNAL && th->sig == SIGTRAP)
		th->sig = 0; /* the exec: not a signal */
	return r;
}

static s64 do_catch(struct inject_target *t, void *arg)
{
	const struct inject_catch *c = arg;
	int i = inject_thread_add(t, c->tid), r = i < 0 ? i : 0;
	struct inject_urgency u; /* ends with this thread */
	struct inject_thread *th;

	inject_urgency_begin(&u);
	th = r ? NULL : &t->thread[i];
	if (!r)
		r = seize(t, th, c);
	if (!r && ptrace(PTRACE_INTERRUPT, c->tid, NULL, NULL))
		r = -ESRCH;
	c->release(c->arg);
	if (r)
		return r;
	r = wait_for_stop(t, th, c);
	if (!r)
		r = inject_caught_borrow(t, i);
	if (r)
		inject_release(t);
	return r;
}

int inject_catch(const struct inject_catch *c, struct inject_target *ret)
{
	struct inject_target t = {.pid = c->pid, .mem = -1, .pidfd = -1, .taskfd = -1, .borrowed = -1,
				  .seccomp_ok = c->seccomp_ok};
	int r = inject_tracer_begin(&t);

	if (r) {
		c->release(c->arg);
		return r;
	}
	return inject_caught_open(&t, do_catch, (void *)c, ret);
}

static s64 do_divert(struct inject_target *t, void *arg)
{
	struct inject_thread *th = &t->thread[t->borrowed];
	u64 *pc = arg, old;
	int r = inject_thread_regs(th);

	if (r)
		return r;
	if (inject_restarts(t, (u32)t->borrowed))
		return -EAGAIN;
	old = th->regs.rip;
	th->regs.rip = *pc;
	th->dirty = true;
	*pc = old;
	return 0;
}

int inject_divert(struct inject_target *t, u64 pc, u64 *ret_pc)
{
	int r;

	if (t->borrowed < 0 || t->willing)
		return -ESRCH;
	r = (int)inject_tracer_run(t, do_divert, &pc);
	if (!r)
		*ret_pc = pc;
	return r;
}
