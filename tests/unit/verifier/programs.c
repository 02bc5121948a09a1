/* SPDX-License-Identifier: MIT */
/* Every hand-written program gets the verdict, and a refusal the words, that it should. */
#include "tap.h"

#include <errno.h>

#include "cases.h"

static void run(const struct vcase *c, u32 level)
{
	const struct verifier_func funcs[2] = {{0, false, "main"}, {c->cb, true, "cb"}};
	struct verifier_prog prog = {.insns = c->insn,
				     .n = vcase_len(c),
				     .maps = case_maps,
				     .nmaps = M_NMAPS,
				     .prog_type =
					 c->prog_type ? c->prog_type : BPF_PROG_TYPE_KPROBE,
				     .expected_attach = c->attach,
				     .all_bodies = true,
				     .funcs = c->cb ? funcs : NULL,
				     .nfuncs = 2};
	struct verifier_log log = {.level = level};
	struct verifier_result res = {0};
	int r = verifier_check(&prog, &log, &res);
	bool said = !c->phrase || !level || (log.buf && strstr(log.buf, c->phrase));

	if (!tap_ok((r == 0) == !c->phrase && said, "%s (log level %u)", c->name, level))
		printf("# returned %d, wanted %s\n# %s\n", r, c->phrase ? c->phrase : "success",
		       log.buf ? log.buf : "");
	if (level && !strstr(log.buf ? log.buf : "", "processed "))
		tap_ok(false, "%s: the log ends with the count of instructions", c->name);
	if (!r)
		verifier_result_deinit(&res);
	free(log.buf);
}

int main(int argc, char **argv)
{
	u32 i;

	for (i = 0; i < vcases_n; i++) {
		if (argc > 1 && !strstr(vcases[i].name, argv[1]))
			continue;
		run(&vcases[i], argc > 1 ? 2 : 1);
		/* silent and without text: another path through the same code */
		if (argc == 1)
			run(&vcases[i], 0);
	}
	return tap_done();
}
