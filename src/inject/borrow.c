/* SPDX-License-Identifier: MIT */
/*
 * Borrowing: which thread to stop for a few system calls, and giving it back. The best one sleeps in a call that the
 * kernel resumes exactly (futex, nanosleep, poll); /proc tells that without stopping anybody.
 */
#include "inject/internal.h"
#include "inject/willing.h"

#include <errno.h>
#include <sys/ptrace.h>

#include "inject/x86_64/regs.h"
#include "util/proc.h"

#define CANDIDATES 64
#define TRY_NS (200 * INJECT_MS) /* for one thread */
#define TRIES 5

enum { RANK_RUNNING = 30, RANK_NO_CALL = 50, RANK_NEVER = 100 };

struct candidates {
	pid_t pid;
	int n;
	struct {
		pid_t tid;
		int rank;
	} c[CANDIDATES];
};

static int rank_thread(pid_t pid, pid_t tid)
{
	long nr;
	int r = proc_thread_call(pid, tid, &nr);

	if (r == -ESRCH)
		return RANK_NEVER;
	if (r || nr == PROC_RUNNING)
		return RANK_RUNNING;
	if (nr == PROC_NO_CALL)
		return RANK_NO_CALL;
	return inject_call_is_vfork(nr) ? RANK_NEVER : inject_call_rank(nr);
}

static bool add_candidate(pid_t tid, void *arg)
{
	struct candidates *cs = arg;
	int rank = rank_thread(cs->pid, tid), i = cs->n;

	if (rank == RANK_NEVER)
		return false;
	for (; i > 0 && cs->c[i - 1].rank > rank; i--)
		cs->c[i] = cs->c[i - 1];
	cs->c[i].tid = tid;
	cs->c[i].rank = rank;
	cs->n++;
	return cs->n == CANDIDATES || rank == 0;
}

/* Index of a seized thread, or -errno. */
static int seized_thread(struct inject_target *t, pid_t tid)
{
	int i, r;

	for (u32 k = 0; k < t->nthreads; k++)
		if (t->thread[k].tid == tid && t->thread[k].seized)
			return (int)k;
	i = inject_thread_add(t, tid);
	if (i < 0)
		return i;
	r = inject_thread_seize(t, &t->thread[i]);
	return r ? r : i;
}

static int try_thread(struct inject_target *t, pid_t tid)
{
	int i = seized_thread(t, tid), r;
	struct inject_thread *th;

	if (i < 0)
		return i;
	th = &t->thread[i];
	inject_wait_look(t, th);
	th->wait.told_ns = inject_now_ns();
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return -ESRCH;
	r = inject_thread_halt(t, th, inject_now_ns() + TRY_NS);
	if (!r)
		r = inject_remote_begin(t, th);
	return r ? r : i;
}

/* Only one thread: whatever comes first in the order of preference and does stop. */
static int borrow_one(struct inject_target *t)
{
	struct candidates cs = {.pid = t->pid};
	u64 deadline = inject_now_ns() + TRY_NS;
	int r;

	inject_threads_forget(t);
	for (;;) {
		r = proc_tids_each(t->pid, add_candidate, &cs);
		if (r)
			return r;
		if (cs.n)
			break;
		if (inject_now_ns() > deadline) /* dead, or all in vfork */
			return proc_is_leader(t->pid) ? -ETIMEDOUT : -ESRCH;
		inject_nap(INJECT_MS);
	}
	r = -ESRCH;
	for (int k = 0, tries = 0; k < cs.n && tries < TRIES; k++) {
		int i = try_thread(t, cs.c[k].tid);

		if (i >= 0)
			return i;
		tries += i != -ESRCH;
		/* Threads differ in these two only; what stands in the way of one otherwise does so for all. */
		if (i != -ESRCH && i != -ETIMEDOUT)
			return i;
		if (i == -ETIMEDOUT)
			r = i;
	}
	return r;
}

/* All are stopped: prefer one in a call, without a signal on its way, that has left no group stop. */
static int borrow_stopped(struct inject_target *t)
{
	int best = -1, best_rank = RANK_NEVER + 1, r;

	for (u32 i = 0; i < t->nthreads; i++) {
		struct inject_thread *th = &t->thread[i];
		long nr;
		int rank;

		if (!th->stopped || th->gone || inject_thread_regs(th))
			continue;
		nr = regs_call(&th->regs);
		rank = (nr >= 0 ? inject_call_rank(nr) : RANK_RUNNING) + (th->sig ? 20 : 0);
		if (rank < best_rank) {
			best = (int)i;
			best_rank = rank;
		}
	}
	if (best < 0)
		return -ESRCH;
	r = inject_remote_begin(t, &t->thread[best]);
	return r ? r : best;
}

static s64 do_borrow(struct inject_target *t, void *unused)
{
	struct inject_urgency u; /* ends with this thread */
	int i;

	inject_urgency_begin(&u);
	i = t->stopped ? borrow_stopped(t) : borrow_one(t);
	if (i < 0) {
		if (!t->stopped)
			inject_release(t);
		return i;
	}
	t->borrowed = i;
	return 0;
}

int inject_borrow(struct inject_target *t)
{
	int r;

	if (t->borrowed >= 0)
		return -EBUSY;
	if (t->willing)
		return inject_willing_borrow(t);
	r = inject_tracer_begin(t);
	if (r)
		return r;
	if (!t->stopped) {
		t->repaired = 0;
		inject_urgency_begin(&t->urgency);
	}
	r = (int)inject_tracer_run(t, do_borrow, NULL);
	if (r && !t->stopped) {
		inject_tracer_end(t);
		inject_urgency_end(&t->urgency);
	}
	return r;
}

struct call {
	long nr;
	u64 arg[6];
};

static s64 do_call(struct inject_target *t, void *arg)
{
	struct call *c = arg;

	return inject_remote_call(t, &t->thread[t->borrowed], c->nr, c->arg);
}

s64 inject_syscall(struct inject_target *t, long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5)
{
	struct call c = {.nr = nr, .arg = {a0, a1, a2, a3, a4, a5}};

	if (t->borrowed < 0)
		return -ESRCH;
	if (t->willing)
		return t->willing->call(t->willing->arg, nr, c.arg);
	return inject_tracer_run(t, do_call, &c);
}

struct session {
	int (*fn)(void *arg);
	void *arg;
};

static s64 do_session(struct inject_target *t, void *arg)
{
	struct session *s = arg;

	return s->fn(s->arg);
}

int inject_session(struct inject_target *t, int (*fn)(void *arg), void *arg)
{
	struct session s = {.fn = fn, .arg = arg};

	if (t->borrowed < 0)
		return -ESRCH;
	return t->willing ? fn(arg) : (int)inject_tracer_run(t, do_session, &s);
}

s64 inject_do_give_back(struct inject_target *t, void *unused)
{
	if (t->borrowed < 0)
		return 0;
	if (!t->stopped)
		inject_heal_one(t, &t->thread[t->borrowed], true);
	inject_remote_end(t, &t->thread[t->borrowed]);
	t->borrowed = -1;
	if (!t->stopped && t->held)
		inject_release(t);
	else if (!t->stopped)
		inject_release_last(t);
	return 0;
}

void inject_give_back(struct inject_target *t)
{
	if (t->borrowed < 0)
		return;
	if (t->willing) {
		inject_willing_give_back(t);
		return;
	}
	if (t->stopped) {
		inject_tracer_run(t, inject_do_give_back, NULL);
	} else {
		inject_tracer_finish(t, inject_do_give_back, NULL);
		inject_urgency_end(&t->urgency);
	}
}
