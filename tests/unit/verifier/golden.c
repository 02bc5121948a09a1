/* SPDX-License-Identifier: MIT */
/* Real programs, compiled by clang from tests/golden/verifier (arguments: the object files), are
 * accepted and quickly. */
#include "tap.h"

#include "object.h"

int main(int argc, char **argv)
{
	int i;

	if (argc < 2)
		tap_skip_all("no clang that compiles for BPF");
	for (i = 1; i < argc; i++) {
		struct verifier_log log = {.level = 1};
		struct verifier_result res = {0};
		struct object o;
		struct verifier_prog prog;
		u32 insns = 0;
		int r;

		if (!tap_eq(object_load(argv[i], &o), 0, "%s: read", argv[i]))
			continue;
		prog = (struct verifier_prog){.insns = o.insns,
					      .n = o.n,
					      .prog_type = BPF_PROG_TYPE_KPROBE,
					      .maps = o.map,
					      .nmaps = o.nmaps};
		r = verifier_check(&prog, &log, &res);
		if (!tap_eq(r, 0, "%s: accepted", argv[i]))
			printf("# %s\n", log.buf);
		if (!r) {
			sscanf(log.buf, "processed %u insns", &insns);
			tap_ok(insns > 0 && insns < 20000, "%s: %u instructions walked for %u",
			       argv[i], insns, o.n);
			verifier_result_deinit(&res);
		}
		free(log.buf);
		object_deinit(&o);
	}
	return tap_done();
}
