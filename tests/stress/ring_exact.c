/* SPDX-License-Identifier: MIT */
/*
 * Many producers (threads of several processes, one of them driven by signals on top of itself),
 * one consumer: every record that was submitted arrives once, whole, in its producer's order; and a
 * wake is asked for whenever the consumer had caught up, so that one that sleeps until then never
 * sleeps for ever.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/time.h>

#include "base/atomic.h"
#include "ringread.h"
#include "tap.h"
#include "torture.h"

#define PROCS 2u
#define THREADS 3u
#define PRODUCERS (PROCS * THREADS + 1) /* the last: the signal handler of process 0 */

struct shared {
	u32 bell;
	u32 stop;
	u64 sent[PRODUCERS], refused[PRODUCERS];
};

struct record {
	u32 producer;
	u32 words;
	u64 n;
	u64 filler[];
};

struct job {
	struct nt_map_view v;
	struct shared *s;
	u64 seed;
	u32 process, producer;
};

static struct job signal_job;

static void ring_bell(struct shared *s)
{
	__atomic_fetch_add(&s->bell, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &s->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void produce(struct job *j, const struct nt_caller *c, u64 *rnd)
{
	u64 r = mapfile_rand(rnd);
	u32 words = (u32)(r % 30);
	struct record *rec = ring_reserve(&j->v, c, sizeof(*rec) + words * 8);

	if (!rec) {
		__atomic_fetch_add(&j->s->refused[j->producer], 1, __ATOMIC_RELAXED);
		return;
	}
	rec->producer = j->producer;
	rec->words = words;
	rec->n = j->s->sent[j->producer];
	for (u32 i = 0; i < words; i++)
		rec->filler[i] = rec->n + i;
	if ((r >> 32) % 16 == 0) {
		rec->n = ~0ull;
		if (ring_submit(&j->v, rec, 0, true))
			ring_bell(j->s);
		return;
	}
	j->s->sent[j->producer]++;
	if (ring_submit(&j->v, rec, 0, false))
		ring_bell(j->s);
}

static void *producer(void *arg)
{
	struct job *j = arg;
	struct nt_caller c = mapfile_caller(0);
	u64 rnd = j->seed;

	while (!__atomic_load_n(&j->s->stop, __ATOMIC_RELAXED)) {
		produce(j, &c, &rnd);
		if (mapfile_rand(&rnd) % 64 == 0)
			sched_yield();
	}
	return NULL;
}

/* One producer, and any thread of the process may be its body: the next alarm may come to another one meanwhile. */
static void on_alarm(int sig)
{
	static bool busy;
	struct nt_caller c = mapfile_caller(0);

	if (__atomic_exchange_n(&busy, true, __ATOMIC_ACQUIRE))
		return;
	produce(&signal_job, &c, &signal_job.seed);
	__atomic_store_n(&busy, false, __ATOMIC_RELEASE);
}

static int process(void *arg)
{
	struct job *base = arg, jobs[THREADS];
	struct itimerval timer = {{0, 100}, {0, 100}};
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	pthread_t t[THREADS];

	for (u32 i = 0; i < THREADS; i++) {
		jobs[i] = *base;
		jobs[i].producer = base->process * THREADS + i;
		jobs[i].seed += jobs[i].producer;
		pthread_create(&t[i], NULL, producer, &jobs[i]);
	}
	if (base->process == 0) {
		signal_job = *base;
		signal_job.producer = PRODUCERS - 1;
		sigaction(SIGALRM, &sa, NULL);
		setitimer(ITIMER_REAL, &timer, NULL);
	}
	for (u32 i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	return 0;
}

struct got {
	u64 next[PRODUCERS];
	u64 bad, n;
};

static void see(void *arg, u8 *data, u32 len)
{
	struct got *g = arg;
	struct record *rec = (struct record *)(void *)data;

	g->n++;
	if (rec->producer >= PRODUCERS || rec->words >= 30 ||
	    len != sizeof(*rec) + rec->words * 8 || rec->n != g->next[rec->producer]) {
		g->bad++;
		return;
	}
	for (u32 i = 0; i < rec->words; i++)
		g->bad += rec->filler[i] != rec->n + i;
	g->next[rec->producer]++;
}

int main(int argc, char **argv)
{
	struct torture t = torture_start(argc, argv, 2500);
	struct job j = {.s = torture_shared(4096), .seed = t.seed};
	u64 until = torture_now_ms() + t.ms, refused = 0, wrong = 0, slept = 0, lost_wakes = 0;
	struct timespec patience = {1, 0};
	struct got g = {0};
	pid_t pid[PROCS];
	long r = 0;

	j.v = mapfile_new(BPF_MAP_TYPE_RINGBUF, 0, 0, 16384, 0, 1);
	for (j.process = 0; j.process < PROCS; j.process++)
		pid[j.process] = torture_fork(process, &j);
	while (r >= 0 && torture_now_ms() < until) {
		u32 bell = __atomic_load_n(&j.s->bell, __ATOMIC_SEQ_CST);

		r = ringread(&j.v, see, &g);
		/* Like the kernel's poll: sleep only if the positions meet. The barrier orders the
		 * store of the consumer position before that look; libbpf gets it from entering the
		 * kernel. */
		at_fence();
		if (r != 0 || ring_query(&j.v, BPF_RB_AVAIL_DATA))
			continue;
		slept++;
		if (syscall(SYS_futex, &j.s->bell, FUTEX_WAIT, bell, &patience, NULL, 0) == -1 &&
		    errno == ETIMEDOUT)
			lost_wakes++;
	}
	__atomic_store_n(&j.s->stop, 1, __ATOMIC_RELAXED);
	tap_ok(torture_wait(pid[0]) & torture_wait(pid[1]), "producers come to an end");
	if (r >= 0)
		r = ringread(&j.v, see, &g);
	tap_ok(r >= 0, "the ring is consistent");
	tap_eq(ring_query(&j.v, BPF_RB_AVAIL_DATA), 0, "nothing stays behind");
	for (u32 i = 0; i < PRODUCERS; i++) {
		wrong += g.next[i] != j.s->sent[i];
		refused += j.s->refused[i];
	}
	tap_eq(g.bad, 0, "every record is whole and in order (%llu records)",
	       (unsigned long long)g.n);
	tap_eq(wrong, 0, "every record arrives (%llu refused: full or busy)",
	       (unsigned long long)refused);
	tap_eq(lost_wakes, 0, "no wake is lost (slept %llu times)", (unsigned long long)slept);
	tap_ok(g.next[PRODUCERS - 1] > 20, "the signal handler got records in (%llu)",
	       (unsigned long long)g.next[PRODUCERS - 1]);
	return tap_done();
}
