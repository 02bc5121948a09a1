/* SPDX-License-Identifier: MIT */
/*
 * Signal handlers: a timer interrupts operations at any instruction, and the handler runs
 * operations of its own on the same buckets in the same thread. Counts stay exact and nothing ever
 * waits for the interrupted operation.
 */
#include <errno.h>
#include <sys/time.h>

#include "mapfile.h"
#include "tap.h"
#include "torture.h"

#define SHARED 6u
#define OWN 4u

static struct nt_map_view view8, view32;
static struct nt_caller self;
static volatile u64 handled, handler_bad;

static u64 count_one(struct nt_map_view *v, u32 key)
{
	u64 value[4] = {0}, *p = map_lookup(v, &self, &key);
	int r;

	if (!p) {
		r = map_update(v, &self, &key, value, BPF_NOEXIST);
		if (r && r != -EEXIST)
			return 1;
		p = map_lookup(v, &self, &key);
	}
	if (!p)
		return 1;
	__atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
	return 0;
}

/* base: keys that only the handler (or only the interrupted side) uses */
static u64 own_one(struct nt_map_view *v, u32 base, u64 n)
{
	u64 value[4] = {n, n, n, n}, got[4];
	u32 key = base + (u32)(n % OWN);
	u64 bad = 0;

	bad += map_update(v, &self, &key, value, BPF_NOEXIST) != 0;
	value[0] = ~n;
	bad += map_update(v, &self, &key, value, BPF_EXIST) != 0;
	bad += map_sys_lookup_and_delete(v, &self, &key, got) != 0 ||
	       memcmp(got, value, v->value_size);
	bad += map_update(v, &self, &key, value, BPF_EXIST) != -ENOENT;
	return bad;
}

static void on_alarm(int sig)
{
	u64 n = handled, bad = 0, value[4] = {n};
	u32 key = 300;

	/* What one signal puts in the next takes out: the interrupted side must not undo either. */
	bad += (n % 2 ? map_delete(&view8, &self, &key)
		      : map_update(&view8, &self, &key, value, BPF_NOEXIST)) != 0;
	bad += (n % 2 ? map_delete(&view32, &self, &key)
		      : map_update(&view32, &self, &key, value, BPF_NOEXIST)) != 0;
	for (u32 i = 0; i < 4; i++) {
		bad += count_one(&view8, (u32)(n + i) % SHARED);
		bad += own_one(&view8, 100, n + i);
		bad += own_one(&view32, 100, n + i);
	}
	handler_bad += bad;
	handled = n + 1;
}

int main(int argc, char **argv)
{
	struct torture t = torture_start(argc, argv, 2000);
	struct itimerval timer = {{0, 50}, {0, 50}}, off = {0};
	u64 until = torture_now_ms() + t.ms, n = 0, bad = 0, sum = 0;
	struct sigaction sa = {.sa_handler = on_alarm};

	view8 = mapfile_new(BPF_MAP_TYPE_HASH, 4, 8, SHARED + 2 * OWN + 1, 0, 1);
	view32 = mapfile_new(BPF_MAP_TYPE_HASH, 4, 32, 2 * OWN + 1, 0, 1);
	view8.nbuckets = view32.nbuckets = 1; /* everything meets in one chain */
	self = mapfile_caller(0);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (torture_now_ms() < until) {
		for (u32 i = 0; i < 64; i++, n++) {
			bad += count_one(&view8, (u32)n % SHARED);
			bad += own_one(&view8, 200, n);
			bad += own_one(&view32, 200, n);
		}
	}
	setitimer(ITIMER_REAL, &off, NULL);
	for (u32 key = 0; key < SHARED; key++) {
		u64 *p = map_lookup(&view8, &self, &key);

		sum += p ? *p : 0;
	}
	tap_eq(bad, 0, "the interrupted side: every result is right (%llu rounds)",
	       (unsigned long long)n);
	tap_eq(handler_bad, 0, "the handler: every result is right (%llu signals)",
	       (unsigned long long)handled);
	tap_ok(handled > 100, "signals came");
	tap_eq(sum, n + 4 * handled, "totals are exact");
	return tap_done();
}
