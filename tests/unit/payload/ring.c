/* SPDX-License-Identifier: MIT */
/* Ring buffer helpers: a record finds its ring, a consumer that waits is woken once. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "subject.h"
#include "tap.h"

static struct nt_ring_ctl *ctl_of(const struct nt_map_view *v)
{
	return (void *)(v->base + v->ctl_off);
}

static u32 hdr_of(u64 rec)
{
	return *(u32 *)(rec - NT_RING_HDR);
}

static u64 *cons_of(const struct nt_map_view *v)
{
	return (void *)(v->base + NT_RING_CONS_OFF);
}

static void test_reserve(const struct subject *s, struct nt_map_view *a, struct nt_map_view *b)
{
	u64 ra = (u64)helper_call(s, 131, a, 24, 0), rb = (u64)helper_call(s, 131, b, 16, 0);

	tap_ok(ra && rb, "records reserved");
	tap_eq(*(u32 *)(ra - 4), gettid(), "owner");
	tap_eq(helper_call(s, 131, a, 24, 1), 0, "no flags to reserve");
	tap_eq(helper_call(s, 131, a, 4096 - 8, 0), 0, "too large");
	tap_eq(hdr_of(ra), 24 | NT_RING_BUSY, "busy");
	tap_eq(helper_call(s, 132, rb, 0, 0), 0, "submit");
	tap_ok(hdr_of(ra) == (24 | NT_RING_BUSY) && hdr_of(rb) == 16,
	       "only that record is finished");
	tap_eq(helper_call(s, 133, ra, 0, 0), 0, "discard");
	tap_eq(hdr_of(ra), 24 | NT_RING_DISCARD, "discarded");
	tap_eq(helper_call(s, 134, a, BPF_RB_RING_SIZE, 0), 4096, "query");
	tap_eq(helper_call(s, 134, a, BPF_RB_AVAIL_DATA, 0), 32, "query data");
}

static void test_strangers(const struct subject *s)
{
	u64 fake[4] = {1, 24 | NT_RING_BUSY, 3, 4};

	helper_call(s, 132, &fake[2], 0, 0);
	tap_ok(fake[1] == (24 | NT_RING_BUSY), "a record of no ring is left alone");
	s->state->nrings = 0xffffffff;
	helper_call(s, 133, &fake[2], 0, 0);
	tap_ok(fake[1] == (24 | NT_RING_BUSY), "with a wrong count of rings too");
	s->state->nrings = 3;
}

static void test_wrap(const struct subject *s, struct nt_map_view *v)
{
	u64 last = 0, end = (u64)v->base + NT_RING_DATA_OFF + v->max_entries, finished = 0;
	bool crossed = false;

	for (int i = 0; i < 300; i++) {
		u64 rec = (u64)helper_call(s, 131, v, i % 3 ? 8 : 40, 0);

		if (!rec)
			break;
		crossed |= rec >= end || rec + 40 > end;
		helper_call(s, 132, rec, 0, 0);
		finished += !(hdr_of(rec) & NT_RING_BUSY);
		last = rec;
		*cons_of(v) = (u64)helper_call(s, 134, v, BPF_RB_PROD_POS, 0);
	}
	tap_ok(last && finished == 300 && crossed,
	       "records across the end of the first copy are found");
}

static void test_wake(const struct subject *s, struct nt_map_view *v)
{
	struct nt_bell *bell = subject_bell(s);
	struct nt_ring_ctl *ctl = ctl_of(v);
	u64 data = 1, rec;
	u32 rung = bell->rung;

	*cons_of(v) = (u64)helper_call(s, 134, v, BPF_RB_PROD_POS, 0);
	tap_eq(call5(s->helper[130], (u64)v, (u64)&data, 8, 0, 0), 0, "output");
	tap_eq(bell->rung, rung, "nobody waits: no bell");
	*cons_of(v) = (u64)helper_call(s, 134, v, BPF_RB_PROD_POS, 0);
	ctl->armed = 1;
	tap_eq(call5(s->helper[130], (u64)v, (u64)&data, 8, BPF_RB_NO_WAKEUP, 0), 0,
	       "output, no wake-up");
	tap_ok(bell->rung == rung && ctl->armed == 1, "stays armed");
	rec = (u64)helper_call(s, 131, v, 8, 0);
	helper_call(s, 132, rec, BPF_RB_FORCE_WAKEUP, 0);
	tap_ok(bell->rung == rung + 1 && !ctl->armed, "forced: rings and disarms");
	helper_call(s, 132, helper_call(s, 131, v, 8, 0), BPF_RB_FORCE_WAKEUP, 0);
	tap_eq(bell->rung, rung + 1, "rings once per arming");
	ctl->armed = 1;
	*cons_of(v) = (u64)helper_call(s, 134, v, BPF_RB_PROD_POS, 0);
	helper_call(s, 133, helper_call(s, 131, v, 8, 0), 0, 0);
	tap_ok(bell->rung == rung + 2 && !ctl->armed, "a discarded record wakes too");
	tap_eq(call5(s->helper[130], (u64)v, (u64)&data, 8, 4, 0), -EINVAL, "unknown flag");
	tap_eq(call5(s->helper[130], (u64)v, (u64)&data, 5000, 0, 0), -EAGAIN,
	       "too large for the ring");
}

static void *sleeper(void *arg)
{
	struct nt_bell *bell = arg;
	u32 seen = at_load_acq(&bell->rung);
	struct timespec limit = {.tv_sec = 5};
	long r;

	at_store(&bell->waiting, 1);
	at_fence();
	r = at_load_acq(&bell->rung) == seen
		? syscall(SYS_futex, &bell->rung, FUTEX_WAIT, seen, &limit, NULL, 0)
		: 0;
	return (void *)(intptr_t)(r == 0 || at_load_acq(&bell->rung) != seen);
}

static void test_sleeper(const struct subject *s, struct nt_map_view *v)
{
	struct timespec a, b;
	void *woken = NULL;
	pthread_t t;

	pthread_create(&t, NULL, sleeper, subject_bell(s));
	while (!at_load(&subject_bell(s)->waiting))
		usleep(1000);
	usleep(20000);
	ctl_of(v)->armed = 1;
	clock_gettime(CLOCK_MONOTONIC, &a);
	helper_call(s, 132, helper_call(s, 131, v, 8, 0), BPF_RB_FORCE_WAKEUP, 0);
	pthread_join(t, &woken);
	clock_gettime(CLOCK_MONOTONIC, &b);
	tap_ok(woken && b.tv_sec - a.tv_sec < 3, "who sleeps on the bell wakes");
	subject_bell(s)->waiting = 0;
	s->state->bell = 0;
	ctl_of(v)->armed = 1;
	helper_call(s, 132, helper_call(s, 131, v, 8, 0), BPF_RB_FORCE_WAKEUP, 0);
	tap_ok(true, "no bell, no harm");
}

int main(void)
{
	const struct subject *s = subject_new();
	struct nt_map_view *a = subject_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 1);
	struct nt_map_view *b = subject_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 1);

	s->state->rings[0] = (u64)a;
	s->state->rings[2] = (u64)b;
	s->state->nrings = 3;
	test_reserve(s, a, b);
	test_strangers(s);
	test_wrap(s, b);
	test_wake(s, a);
	test_sleeper(s, a);
	return tap_done();
}
