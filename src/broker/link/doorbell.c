/* SPDX-License-Identifier: MIT */
/*
 * Producers in targets ring by adding to a word in shared memory and, only if somebody sleeps on it, by a futex wake.
 * A futex cannot be waited for in an event loop, so one thread sleeps on it and forwards to an eventfd. The thread
 * touches nothing else of the broker.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "broker/link/engine.h"
#include "broker/object/output.h"
#include "util/fd.h"

struct doorbell {
	struct engine *engine;
	struct nt_bell *bell;
	int event;
	struct loop_source *source;
	pthread_t thread;
	bool started;
	u32 stop;
};

static void *doorbell_thread(void *arg)
{
	struct doorbell *d = arg;
	u32 seen = at_load_acq(&d->bell->rung);
	const u64 one = 1;

	while (!at_load_acq(&d->stop)) {
		u32 now;

		at_store(&d->bell->waiting, 1);
		at_fence();
		now = at_load_acq(&d->bell->rung);
		if (now == seen) {
			/* The time limit is for a producer that was killed between its add and its wake. */
			struct timespec limit = { .tv_nsec = 100000000 };

			syscall(SYS_futex, &d->bell->rung, FUTEX_WAIT, seen, &limit, NULL, 0);
			now = at_load_acq(&d->bell->rung);
		}
		if (now == seen)
			continue;
		at_store(&d->bell->waiting, 0);
		seen = now;
		if (write(d->event, &one, sizeof(one)) < 0)
			continue; /* the counter is full: the loop has a call to come anyway */
	}
	return NULL;
}

static void doorbell_rang(struct loop_source *s, u32 events, void *arg)
{
	struct doorbell *d = arg;
	struct engine *e = d->engine;
	u64 n;

	if (read(d->event, &n, sizeof(n)) < 0)
		return;
	e->watching->linker_rang(e->watch);
	object_map_kick_rung(e->broker);
	object_output_kick_rung(e->broker);
	if (e->trace_fn)
		e->trace_fn(e->trace_arg);
}

int doorbell_new(struct engine *e, struct doorbell **ret)
{
	struct doorbell *d = calloc(1, sizeof(*d));
	sigset_t all, old;
	int r;

	if (!d)
		return -ENOMEM;
	d->engine = e;
	d->bell = e->shared.bell;
	d->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->event < 0) {
		free(d);
		return -errno;
	}
	r = loop_add(e->broker->loop, d->event, EPOLLIN, doorbell_rang, d, &d->source);
	if (r) {
		doorbell_free(d);
		return r;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&d->thread, NULL, doorbell_thread, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		doorbell_free(d);
		return r;
	}
	d->started = true;
	*ret = d;
	return 0;
}

void doorbell_free(struct doorbell *d)
{
	if (!d)
		return;
	if (d->started) {
		at_store_rel(&d->stop, 1);
		at_add(&d->bell->rung, 1);
		syscall(SYS_futex, &d->bell->rung, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
		pthread_join(d->thread, NULL);
	}
	loop_source_free(d->source);
	fd_closep(&d->event);
	free(d);
}
