/* SPDX-License-Identifier: MIT */
/*
 * Entry probes on every function of a Go program while its collector, its scheduler's signals, its profiler's signals and
 * its panics go through them:
 *
 *     go_test VICTIM
 */
#include "all.h"
#include "common/functions.h"
#include "tap.h"

enum { WORK_CALLS = 4, TURNS = 8, BEGUN = 64 };

/* Calls that had begun before are reported, too: one a thread or goroutine at most. */
static bool returns_are_calls(struct all *a)
{
	bool ok = true;

	for (size_t i = 0; i < all_functions(a, 0); i++) {
		const char *name = a->file[0].functions->fn[i].name;
		uint64_t in, out;

		if (!all_count(a, name, &in, &out) || out <= in + BEGUN)
			continue;
		printf("# %s: %llu entries, %llu returns\n", name, (unsigned long long)in, (unsigned long long)out);
		ok = false;
	}
	return ok;
}

static void test_probed(char *victim, bool use_hash)
{
	struct victim_io v = { 0 };
	struct all a;
	uint64_t in, out;

	if (!tap_ok(!victim_start(&v, (char *[]){ victim, NULL }), "the program starts"))
		return;
	if (!tap_ok(all_open(&a, use_hash) && all_add(&a, victim) && all_do(&a, &v, "run 8 40"), "its result is noted"))
		return;
	tap_ok(all_attach(&a, v.pid) && all_do(&a, &v, "count 1"), "probes on all of its functions%s",
	       use_hash ? ", programs that call helpers" : "");
	for (int i = 0; i < WORK_CALLS; i++)
		if (!tap_ok(all_do(&a, &v, "run 8 40"), "the result is the same, every call was counted once"))
			break;
	all_sum(&a, 0, &in, &out);
	printf("# %zu functions, %llu entries, %llu returns\n", all_functions(&a, 0), (unsigned long long)in,
	       (unsigned long long)out);
	tap_ok(in > 100000, "the runtime's own functions were seen too");
	tap_ok(out > in / 2 && returns_are_calls(&a), "and their returns, no more than calls");
	if (use_hash)
		tap_ok(all_reads_are_right(&a), "no read of its memory was wrong");
	all_close(&a);
	tap_ok(all_do(&a, &v, "count 0"), "it goes on without probes");
	tap_eq(victim_end(&v), 0, "and ends well");
}

/* The detach may find a thread at any instruction of a slot. */
static void test_turns(char *victim)
{
	struct victim_io v = { 0 };
	struct all a;
	bool ok = true;

	if (!tap_ok(!victim_start(&v, (char *[]){ victim, NULL }) && all_open(&a, true) && all_add(&a, victim) &&
			    all_do(&a, &v, "run 4 300"),
		    "once more"))
		return;
	for (int i = 0; i < TURNS && ok; i++) {
		victim_tell(&v, "run 4 300");
		for (int k = 0; k < 5 && ok; k++) {
			ok = all_attach(&a, v.pid);
			all_detach(&a);
		}
		ok = ok && all_answer(&a, &v, "run 4 300");
	}
	tap_ok(ok, "attached and detached while it works, the results stay the same");
	all_close(&a);
	tap_eq(victim_end(&v), 0, "it ends well");
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 99;
	test_probed(argv[1], false);
	test_probed(argv[1], true);
	test_turns(argv[1]);
	return tap_done();
}
