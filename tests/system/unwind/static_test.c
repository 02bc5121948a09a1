/* SPDX-License-Identifier: MIT */
/*
 * A static C++ program: its unwinder cannot be told about return probes, so it gets none, by name; entry probes work,
 * and exceptions pass.
 *
 *     static_test VICTIM
 */
#include <bpf/libbpf.h>

#include "all.h"
#include "all.skel.h"
#include "tap.h"

static bool tell(struct victim_io *v, const char *command)
{
	char line[512];

	victim_tell(v, command);
	while (victim_line(v, line, sizeof(line)))
		if (!strcmp(line, "done"))
			return true;
		else if (strncmp(line, "count ", 6))
			break;
	printf("# victim: %s\n", line);
	return false;
}

int main(int argc, char **argv)
{
	struct victim_io v = { 0 };
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .retprobe = true);
	struct bpf_link *l;
	uint64_t in = 0, out = 0;
	bool counted;
	struct all a;

	if (argc < 2)
		return 99;
	if (!tap_ok(!victim_start(&v, (char *[]){ argv[1], NULL }) && all_open(&a, false) && all_add(&a, argv[1]),
		    "a static C++ program"))
		return tap_done();
	setvbuf(v.out, NULL, _IONBF, 0);
	l = bpf_program__attach_uprobe_multi(a.skel->progs.on_return, v.pid, argv[1], "e_*", &opts);
	tap_ok(!l && errno == EOPNOTSUPP, "gets no return probes: %s", l ? "it did" : strerror(errno));
	a.entries_only = true;
	tap_ok(all_attach(&a, v.pid), "but entry probes");
	tap_ok(tell(&v, "direct 1000") && tell(&v, "rethrow 1000") && tell(&v, "threads 500"), "exceptions pass");
	counted = all_count(&a, "e_rethrow", &in, &out) && in == 3000 && !out;
	tap_ok(counted, "and calls are counted (%llu)", (unsigned long long)in);
	l = bpf_program__attach_uprobe_multi(a.skel->progs.on_return, v.pid, argv[1], "e_*", &opts);
	tap_ok(!l && errno == EOPNOTSUPP, "nor return probes on top: %s", l ? "it did" : strerror(errno));
	tap_ok(tell(&v, "direct 1000") && tell(&v, "rethrow 1000"), "exceptions still pass");
	counted = all_count(&a, "e_rethrow", &in, &out) && in == 4000;
	tap_ok(counted, "and calls are counted (%llu)", (unsigned long long)in);
	all_close(&a);
	tap_eq(victim_end(&v), 0, "it ends well");
	return tap_done();
}
