/* SPDX-License-Identifier: MIT */
/*
 * A static C++ program: its unwinder cannot be told about calls through our slots, so return probes are at the functions'
 * `ret`s. Exceptions pass, and what they leave is not reported as a return.
 *
 *     static_test VICTIM
 */
#include <bpf/libbpf.h>

#include "all.h"
#include "all.skel.h"
#include "tap.h"

int main(int argc, char **argv)
{
	struct victim_io v = { 0 };
	struct all a;
	uint64_t in, out;

	if (argc < 2)
		return 99;
	if (!tap_ok(!victim_start(&v, (char *[]){ argv[1], NULL }) && all_open(&a, false) && all_add(&a, argv[1]),
		    "a static C++ program"))
		return tap_done();
	tap_ok(all_attach(&a, v.pid), "gets probes on all of its functions, at entry and return");
	tap_ok(all_do(&a, &v, "direct 1000") && all_do(&a, &v, "rethrow 1000") && all_do(&a, &v, "threads 500"),
	       "exceptions pass, and calls and returns are counted");
	all_sum(&a, 0, &in, &out);
	printf("# %zu functions, %llu entries, %llu returns\n", all_functions(&a, 0), (unsigned long long)in,
	       (unsigned long long)out);
	tap_ok(in > 100000 && out > in / 2 && out < in, "the C library's functions were seen too");
	all_detach(&a);
	tap_ok(all_attach(&a, v.pid) && all_do(&a, &v, "direct 1000"), "attached once more");
	all_close(&a);
	tap_eq(victim_end(&v), 0, "it ends well");
	return tap_done();
}
