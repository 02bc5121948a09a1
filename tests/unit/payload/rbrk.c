/* SPDX-License-Identifier: MIT */
/* The wait for the broker after a dlopen: short when it answers, bounded when it does not. */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "subject.h"
#include "tap.h"

static u32 ms_of_call(const struct subject *s)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	s->r_brk();
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (u32)((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
}

struct answer {
	struct nt_bell *bell;
	u32 before; /* rbrk before the call: the thread may start late */
};

static void *answerer(void *arg)
{
	struct answer *a = arg;
	struct nt_bell *bell = a->bell;

	while (at_load_acq(&bell->rbrk) == a->before)
		usleep(100);
	usleep(20000);
	at_store_rel(&bell->rbrk_done, at_load(&bell->rbrk));
	syscall(SYS_futex, &bell->rbrk_done, FUTEX_WAKE, 100, NULL, NULL, 0);
	return NULL;
}

static u32 answered_ms(const struct subject *s)
{
	struct answer a = { subject_bell(s), subject_bell(s)->rbrk };
	pthread_t t;
	u32 ms;

	pthread_create(&t, NULL, answerer, &a);
	ms = ms_of_call(s);
	pthread_join(t, NULL);
	return ms;
}

static void *liar(void *arg)
{
	struct nt_bell *bell = arg;

	while (at_load(&bell->waiting) != 2)
		at_add(&bell->rbrk_done,
		       0x80000001u); /* half of the values say yes: make them all say no */
	return NULL;
}

static void on_alarm(int sig)
{
}

int main(void)
{
	const struct subject *s = subject_new();
	struct nt_bell *bell = subject_bell(s);
	struct itimerval on = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}};
	struct sigaction sa = {.sa_handler = on_alarm};
	u32 rung = bell->rung, ms;
	pthread_t t;

	ms = answered_ms(s);
	tap_ok(ms >= 15 && ms < 190, "waits for the answer: %u ms", ms);
	tap_ok(s->state->rbrk_seq == 1 && bell->rbrk == 1 && bell->rung == rung + 1,
	       "counted and rung");
	bell->rbrk = bell->rbrk_done = 0xffffffff; /* the counters wrap */
	ms = answered_ms(s);
	tap_ok(ms >= 15 && ms < 190 && bell->rbrk == 0, "the counter may wrap: %u ms", ms);

	ms = ms_of_call(s);
	tap_ok(ms >= 190 && ms < 1500, "no answer: gives up after %u ms", ms);
	ms = ms_of_call(s);
	tap_ok(ms < 150, "does not wait for a broker that did not answer: %u ms", ms);
	tap_eq(bell->rbrk, 2, "but tells it");
	ms = answered_ms(s);
	tap_ok(ms < 150, "not even if it would: %u ms", ms);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &on, NULL);
	ms = ms_of_call(s);
	setitimer(ITIMER_REAL, &off, NULL);
	tap_ok(ms >= 190 && ms < 1500, "after a sign of life it waits again, signals or not: %u ms",
	       ms);

	bell->rbrk_done = bell->rbrk - 0x7ffffff0u;
	pthread_create(&t, NULL, liar, bell);
	ms = ms_of_call(s);
	at_store(&bell->waiting, 2);
	pthread_join(t, NULL);
	tap_ok(ms < 1500, "a word that changes all the time does not hold us: %u ms", ms);

	s->local->rbrk_gave_up = 0;
	s->state->flags |= NT_STATE_NO_SYSCALL;
	rung = bell->rbrk;
	ms = ms_of_call(s);
	tap_ok(ms < 150 && bell->rbrk == rung, "no wait where the kernel must not be entered: %u ms",
	       ms);
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
	s->state->bell = 0;
	tap_ok(ms_of_call(s) < 150, "no bell, no wait");
	tap_eq(s->state->rbrk_seq, 9, "all calls are counted");
	return tap_done();
}
