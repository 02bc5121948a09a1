/* SPDX-License-Identifier: MIT */
/*
 * A loader as it was written for libbpf 1.1 (Debian 12): one uprobe, one uretprobe, no uprobe_multi, no skeleton. It is
 * run with that old library, so it uses nothing that is newer.
 *
 *     single_test OBJECT VICTIM
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/types.h>

#include "tap.h"
#include "uprobe.h"
#include "victim_io.h"

static struct bpf_object *load(const char *file)
{
	struct bpf_object *o = bpf_object__open_file(file, NULL);
	struct bpf_program *p;

	if (!o)
		return NULL;
	bpf_object__for_each_program(p, o)
		bpf_program__set_autoload(p, !strncmp(bpf_program__name(p), "single_", 7));
	return bpf_object__load(o) ? NULL : o;
}

static struct bpf_link *attach(struct bpf_object *o, const char *prog, pid_t pid, const char *file, bool ret, __u64 cookie)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = "v_push", .bpf_cookie = cookie, .retprobe = ret);

	return bpf_program__attach_uprobe_opts(bpf_object__find_program_by_name(o, prog), pid, file, 0, &opts);
}

static __u64 value(struct bpf_object *o, const char *map, __u32 key)
{
	__u64 v = 0;

	bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(o, map), &key, &v);
	return v;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

int main(int argc, char **argv)
{
	struct victim_io v = { 0 };
	struct bpf_link *in, *out;
	struct bpf_object *o;

	if (argc < 3)
		return 2;
	libbpf_set_print(quiet);
	printf("# libbpf %s\n", libbpf_version_string());
	o = load(argv[1]);
	if (!tap_ok(o, "an object loads"))
		return tap_done();
	tap_ok(!victim_start(&v, (char *[]){ argv[2], NULL }), "the victim starts");
	in = attach(o, "single_entry", v.pid, argv[2], false, 1);
	out = attach(o, "single_return", v.pid, argv[2], true, 2);
	tap_ok(in && out, "uprobe and uretprobe attach");
	tap_ok(victim_do(&v, "run 4 2000"), "4 threads call 2000 times");
	tap_eq(value(o, "uprobe.bss", 0), 8000, "entries are counted in global data");
	tap_eq(value(o, "returns", 2), 8000, "returns are counted in an array");
	bpf_link__destroy(in);
	bpf_link__destroy(out);
	tap_ok(victim_do(&v, "run 1 10") && value(o, "uprobe.bss", 0) == 8000, "after the links are gone nothing is counted");
	bpf_object__close(o);
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	return tap_done();
}
