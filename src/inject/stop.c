/* SPDX-License-Identifier: MIT */
/*
 * Stopping a whole process.
 *
 * Seize every thread, interrupt them, wait for each, look at the thread list again; done when a scan made while all
 * known threads were stopped finds no new one (a stopped thread creates none). Seizing disturbs nobody, so the pause
 * begins with the first interrupt.
 *
 * The stop itself is quick. What makes a pause long is our own threads waiting for a CPU behind the threads they have
 * just let go; so for the time of the stop tracer and caller are urgent (urgency.c).
 */
#include "inject/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ptrace.h>

#include "util/proc.h"

#define ROUNDS 4 /* that a stop gets, however long they take */

static int by_tid(const void *a, const void *b)
{
	return ((const struct inject_thread *)a)->tid - ((const struct inject_thread *)b)->tid;
}

struct scan {
	struct inject_target *t;
	u32 known; /* thread[0..known) is sorted */
	u32 added;
	int err;
};

static bool scan_visit(pid_t tid, void *arg)
{
	struct scan *s = arg;
	struct inject_target *t = s->t;
	struct inject_thread key = {.tid = tid};
	int i, r;

	if (s->known && bsearch(&key, t->thread, s->known, sizeof(key), by_tid))
		return false;
	i = inject_thread_add(t, tid);
	if (i < 0) {
		s->err = i;
		return true;
	}
	r = inject_thread_seize(t, &t->thread[i]);
	if (!r)
		s->added++;
	else if (r != -ESRCH)
		s->err = r;
	return s->err != 0;
}

static int seize_new(struct inject_target *t, u32 *ret_added)
{
	struct scan s = {.t = t, .known = t->nthreads};
	int r = proc_tids_each(t->pid, scan_visit, &s);

	if (!r)
		r = s.err;
	if (!r)
		*ret_added = s.added;
	return r;
}

static int halt_from(struct inject_target *t, u32 from, u64 deadline)
{
	for (u32 i = from; i < t->nthreads; i++)
		if (t->thread[i].seized)
			inject_wait_look(t, &t->thread[i]);
	if (!t->stop_begin_ns)
		t->stop_begin_ns = inject_now_ns();
	for (u32 i = from; i < t->nthreads; i++) {
		t->thread[i].wait.told_ns = inject_now_ns();
		if (t->thread[i].seized && ptrace(PTRACE_INTERRUPT, t->thread[i].tid, NULL, NULL))
			t->thread[i].gone = true;
	}
	for (u32 i = from; i < t->nthreads; i++) {
		struct inject_thread *th = &t->thread[i];

		if (th->seized && !th->stopped && inject_thread_halt(t, th, deadline) == -ETIMEDOUT)
			return -ETIMEDOUT;
		if (th->stopped) /* while others are still on their way */
			inject_thread_regs(th);
	}
	return 0;
}

static int halt_all(struct inject_target *t, u64 deadline)
{
	u32 from = 0, added, alive = 0;
	int r;

	for (;;) {
		r = seize_new(t, &added);
		if (r)
			return r;
		if (!added && t->rounds)
			break;
		t->rounds++;
		r = halt_from(t, from, deadline);
		if (r)
			return r;
		if (t->rounds >= ROUNDS && inject_now_ns() > deadline)
			return -ETIMEDOUT; /* threads are born faster than we can stop them */
		from = t->nthreads;
		qsort(t->thread, t->nthreads, sizeof(*t->thread), by_tid);
	}
	for (u32 i = 0; i < t->nthreads; i++)
		alive += t->thread[i].stopped && !inject_thread_regs(&t->thread[i]);
	return alive ? 0 : -ESRCH;
}

static bool vfork_visit(pid_t tid, void *arg)
{
	pid_t *pid = arg;
	char state;
	long nr;

	if (proc_thread_state(*pid, tid, &state) || state != 'D')
		return false;
	if (proc_thread_call(*pid, tid, &nr) || !inject_call_is_vfork(nr))
		return false;
	*pid = 0;
	return true;
}

/* A vfork parent does not stop before its child runs another program: wait for that without disturbing anybody. */
static int wait_for_vfork(pid_t pid, u64 deadline)
{
	for (;;) {
		pid_t p = pid;
		int r = proc_tids_each(pid, vfork_visit, &p);

		if (r || p)
			return r;
		if (inject_now_ns() > deadline)
			return -ETIMEDOUT;
		inject_nap(500000);
	}
}

/* At once, so that nothing shows if we are killed before we let go. */
static void repair_all(struct inject_target *t)
{
	for (u32 i = 0; i < t->nthreads; i++) {
		struct inject_thread *th = &t->thread[i];

		if (!th->stopped || !th->have_regs)
			continue;
		inject_wait_check(t, th);
		t->repaired += inject_repair(th);
	}
	inject_thread_write_all(t);
}

static void release_all(struct inject_target *t)
{
	inject_heal_all(t);
	repair_all(t);
	if (t->held)
		inject_release(t);
	else
		inject_release_last(t);
}

struct stop_request {
	u64 deadline;
};

static s64 do_stop(struct inject_target *t, void *arg)
{
	struct stop_request *rq = arg;
	struct inject_urgency u; /* ends with this thread */
	int r;

	inject_threads_forget(t);
	if (t->nthreads)
		qsort(t->thread, t->nthreads, sizeof(*t->thread), by_tid);
	t->rounds = t->repaired = 0;
	t->stop_begin_ns = t->stop_end_ns = 0;
	r = wait_for_vfork(t->pid, rq->deadline);
	if (r)
		return r;
	inject_urgency_begin(&u);
	r = halt_all(t, rq->deadline);
	if (r) {
		for (u32 i = 0; i < t->nthreads; i++)
			if (t->thread[i].stopped)
				inject_thread_regs(&t->thread[i]);
		release_all(t);
		return r;
	}
	repair_all(t);
	t->stopped = true;
	return 0;
}

int inject_stop(struct inject_target *t, u32 timeout_ms)
{
	struct stop_request rq = {.deadline = inject_now_ns() + timeout_ms * INJECT_MS};
	int r;

	if (t->stopped || t->borrowed >= 0)
		return -EBUSY;
	if (t->willing) {
		inject_willing_stop(t);
		return 0;
	}
	r = inject_tracer_begin(t);
	if (r)
		return r;
	inject_urgency_begin(&t->urgency);
	r = (int)inject_tracer_run(t, do_stop, &rq);
	if (r) {
		inject_tracer_end(t);
		inject_urgency_end(&t->urgency);
		inject_threads_forget(t);
	}
	return r;
}

static s64 do_resume(struct inject_target *t, void *unused)
{
	inject_do_give_back(t, NULL);
	release_all(t);
	return 0;
}

void inject_resume(struct inject_target *t)
{
	if (!t->stopped)
		return;
	if (t->willing) {
		inject_willing_resume(t);
		return;
	}
	inject_tracer_finish(t, do_resume, NULL);
	inject_urgency_end(&t->urgency);
	t->stopped = false;
}

static s64 do_regs(struct inject_target *t, void *arg)
{
	return inject_thread_regs(&t->thread[*(u32 *)arg]);
}

int inject_regs(struct inject_target *t, u32 thread)
{
	if (thread >= t->nthreads || !t->thread[thread].stopped)
		return -ESRCH;
	if (t->thread[thread].have_regs)
		return 0;
	return (int)inject_tracer_run(t, do_regs, &thread);
}

void inject_set_pc(struct inject_target *t, u32 thread, u64 pc)
{
	struct inject_thread *th = &t->thread[thread];

	if (thread >= t->nthreads || !th->have_regs)
		return;
	th->regs.rip = pc;
	th->dirty = true;
}

static s64 do_settle_pcs(struct inject_target *t, void *unused)
{
	inject_heal_all(t);
	return inject_thread_write_all(t);
}

int inject_settle_pcs(struct inject_target *t)
{
	if (!t->stopped)
		return -ESRCH;
	return t->willing ? 0 : (int)inject_tracer_run(t, do_settle_pcs, NULL);
}

u64 inject_pause_ns(const struct inject_target *t)
{
	return t->stop_end_ns > t->stop_begin_ns ? t->stop_end_ns - t->stop_begin_ns : 0;
}
