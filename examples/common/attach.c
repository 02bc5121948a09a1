/* SPDX-License-Identifier: MIT */
#include "attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_ENOTSUPP 524 /* leaks out of the kernel; libc has no name for it */

int attach_functions(const struct bpf_program *prog, const struct target *t, bool at_return,
		     struct bpf_link **ret)
{
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .cnt = t->functions.n, .retprobe = at_return);
	unsigned long *offsets = calloc(t->functions.n, sizeof(*offsets));
	__u64 *cookies = calloc(t->functions.n, sizeof(*cookies));
	struct bpf_link *link;
	int err = -ENOMEM;
	size_t i;

	if (offsets && cookies) {
		for (i = 0; i < t->functions.n; i++) {
			offsets[i] = t->functions.fn[i].offset;
			cookies[i] = i;
		}
		opts.offsets = offsets;
		opts.cookies = cookies;
		link = bpf_program__attach_uprobe_multi(prog, t->pid, t->path, NULL, &opts);
		err = link ? 0 : -errno;
		if (!err)
			*ret = link;
	}
	free(offsets);
	free(cookies);
	return err;
}

void attach_explain(const char *tool, const char *what, int err)
{
	const char *hint = "";

	switch (-err) {
	case EPERM:
	case EACCES: hint = "\nBPF programs need root, or CAP_BPF and CAP_PERFMON."; break;
	case EINVAL: hint = "\nuprobe_multi links need Linux 6.6 or newer."; break;
	case ESRCH: hint = "\nThe process is gone."; break;
	case E2BIG:
		hint = "\nA link can have 1048576 functions at most; please narrow the pattern.";
		break;
	case KERNEL_ENOTSUPP:
		fprintf(stderr,
			"%s: %s: one of the functions begins with an instruction that cannot be "
			"probed\n"
			"Please narrow the pattern.\n",
			tool, what);
		return;
	}
	fprintf(stderr, "%s: %s: %s%s\n", tool, what, strerror(-err), hint);
}
