/* SPDX-License-Identifier: MIT */
/*
 * The tracer is a thread of its own, alive from the first ptrace call of a session to the last.
 *
 * Why: a thread that was seized and told to stop can be let go only while it is stopped. A vfork parent, a thread in an
 * uninterruptible wait or a group leader that has exited before its threads does not stop, possibly for hours, and the
 * interrupt cannot be withdrawn: the target would hang later, when it does stop and nobody looks, or its parent would
 * never hear of its death. But when a tracer exits, the kernel lets go of all that it traced, whatever state it is in,
 * and clears what it had asked for (exit_ptrace() in kernel/ptrace.c). So ending the session means ending this thread,
 * and no error path can leave anything behind.
 *
 * The caller is blocked while a request runs, so the two never touch the target's struct at the same time.
 */
#include "inject/internal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define YIELDS 20 /* a nap takes longer than the end of a thread */

struct inject_tracer {
	pthread_t thread;
	pid_t tid;
	sem_t request, done;
	struct inject_target *t;
	s64 (*fn)(struct inject_target *, void *); /* NULL: end */
	void *arg;
	s64 result;
	bool inside; /* a request runs: a further one can only come from it */
	bool last;   /* the thread ends with this request */
};

u64 inject_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
}

void inject_nap(u64 ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000ull), .tv_nsec = (long)(ns % 1000000000ull)};

	nanosleep(&ts, NULL);
}

static void sem_wait_all(sem_t *s)
{
	while (sem_wait(s) && errno == EINTR)
		;
}

static void *tracer_main(void *arg)
{
	struct inject_tracer *tr = arg;

	tr->tid = gettid();
	for (;;) {
		sem_wait_all(&tr->request);
		if (!tr->fn)
			return NULL;
		tr->inside = true;
		tr->result = tr->fn(tr->t, tr->arg);
		if (tr->last)
			return NULL;
		tr->inside = false;
		sem_post(&tr->done);
	}
}

/* As urgent as its maker: it would wait for its first turn as long as any other thread. */
static int make_thread(struct inject_tracer *tr)
{
	struct sched_param lowest = {.sched_priority = 1};
	pthread_attr_t attr;
	int r = EPERM;

	if ((sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) == SCHED_FIFO && !pthread_attr_init(&attr)) {
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &lowest);
		r = pthread_create(&tr->thread, &attr, tracer_main, tr);
		pthread_attr_destroy(&attr);
	}
	return r == EPERM ? pthread_create(&tr->thread, NULL, tracer_main, tr) : r;
}

int inject_tracer_begin(struct inject_target *t)
{
	struct inject_tracer *tr;
	sigset_t all, old;
	int r;

	if (t->tracer)
		return 0;
	tr = calloc(1, sizeof(*tr));
	if (!tr)
		return -ENOMEM;
	tr->t = t;
	sem_init(&tr->request, 0, 0);
	sem_init(&tr->done, 0, 0);
	/* The process' signals are for its other threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = make_thread(tr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		free(tr);
		return -r;
	}
	t->tracer = tr;
	return 0;
}

s64 inject_tracer_run(struct inject_target *t, s64 (*fn)(struct inject_target *, void *), void *arg)
{
	struct inject_tracer *tr = t->tracer;

	if (!tr)
		return -ESRCH;
	if (tr->inside)
		return fn(t, arg);
	tr->t = t; /* the struct may have been moved since */
	tr->fn = fn;
	tr->arg = arg;
	sem_post(&tr->request);
	sem_wait_all(&tr->done);
	return tr->result;
}

/* Joined means that it has left its memory; it lets go of its tracees just before its id disappears. */
static void wait_for_end(struct inject_tracer *tr)
{
	for (int i = 0; syscall(SYS_tgkill, getpid(), tr->tid, 0) == 0; i++)
		if (i < YIELDS)
			sched_yield();
		else
			inject_nap(20000);
	sem_destroy(&tr->request);
	sem_destroy(&tr->done);
	free(tr);
}

s64 inject_tracer_finish(struct inject_target *t, s64 (*fn)(struct inject_target *, void *), void *arg)
{
	struct inject_tracer *tr = t->tracer;
	s64 r;

	if (!tr || tr->inside)
		return inject_tracer_run(t, fn, arg);
	tr->t = t;
	tr->fn = fn;
	tr->arg = arg;
	tr->last = true;
	sem_post(&tr->request);
	pthread_join(tr->thread, NULL);
	r = tr->result;
	t->tracer = NULL;
	wait_for_end(tr);
	return r;
}

void inject_tracer_end(struct inject_target *t)
{
	struct inject_tracer *tr = t->tracer;

	if (!tr || t->held)
		return;
	tr->fn = NULL;
	sem_post(&tr->request);
	pthread_join(tr->thread, NULL);
	t->tracer = NULL;
	wait_for_end(tr);
}
