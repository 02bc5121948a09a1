/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "subject.h"
#include "tap.h"

static u64 now(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static void test_clock(const struct subject *s, int helper, clockid_t id, const char *name)
{
	u64 before = now(id), t = (u64)helper_call(s, helper, 0, 0, 0), after = now(id);

	tap_ok(before <= t && t <= after, "%s: %llu <= %llu <= %llu", name, (long long)before,
	       (long long)t, (long long)after);
}

static void test_all(const struct subject *s)
{
	u64 jiffies, want;

	test_clock(s, 5, CLOCK_MONOTONIC, "ktime_get_ns");
	test_clock(s, 125, CLOCK_BOOTTIME, "ktime_get_boot_ns");
	test_clock(s, 160, CLOCK_MONOTONIC_COARSE, "ktime_get_coarse_ns");
	want = 4294892296u + now(CLOCK_MONOTONIC_COARSE) / 4000000;
	jiffies = (u64)helper_call(s, 118, 0, 0, 0);
	tap_ok(jiffies - want < 3, "jiffies64: %llu, about %llu", (long long)jiffies,
	       (long long)want);
}

int main(void)
{
	const struct subject *s = subject_new();
	u64 vdso = s->state->clock_gettime;

	test_all(s);
	s->state->clock_gettime = 0;
	test_all(s);
	s->state->flags |= NT_STATE_NO_SYSCALL;
	tap_eq(helper_call(s, 5, 0, 0, 0), 0, "neither vdso nor kernel: 0");
	s->state->clock_gettime = vdso;
	test_all(s);
	return tap_done();
}
