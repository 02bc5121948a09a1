/* SPDX-License-Identifier: MIT */
/* The victim (victim.c) and the pairs of programs (mixed.bpf.c) that the tests attach to it. Header only. */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <unistd.h>

#include "mixed.h"
#include "mixed.skel.h"
#include "tap.h"
#include "victim_io.h"

#define N 500
#define TRACING "/sys/kernel/tracing/"

struct rig {
	struct victim_io victim;
	const char *victim_path;
	unsigned long f_addr, g_addr;
	bool notrap; /* else all is the kernel's */
};

/* The victim makes its calls with FIRST ... FIRST + n - 1. */
__attribute__((unused)) static void rig_go(struct rig *r, int first, int n)
{
	char line[64];

	snprintf(line, sizeof(line), "%d %d", first, n);
	if (!victim_do(&r->victim, line))
		exit(2);
}

/* argv of a test: VICTIM [kernel|notrap]. Skips the test, or exits, when that cannot be. */
__attribute__((unused)) static void rig_start(struct rig *r, char **args)
{
	char *argv[] = {args[1], NULL};
	char line[128];

	if (geteuid() || access(TRACING "events/syscalls/sys_enter_getpriority/id", R_OK))
		tap_skip_all("needs root, and tracepoints of system calls");
	r->victim_path = args[1];
	r->notrap = args[2] && !strcmp(args[2], "notrap");
	if (victim_spawn(&r->victim, argv) || !victim_line(&r->victim, line, sizeof(line)) ||
	    sscanf(line, "ready %lx %lx", &r->f_addr, &r->g_addr) != 2)
		exit(2);
}

/* The byte at mixed_f, as it is in the victim now. */
__attribute__((unused)) static unsigned char rig_code(const struct rig *r)
{
	unsigned char byte = 0;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)r->victim.pid);
	fd = open(path, O_RDONLY);
	if (fd < 0 || pread(fd, &byte, 1, (off_t)r->f_addr) != 1)
		exit(2);
	close(fd);
	return byte;
}

/* Is there a jump, or a breakpoint? (Natively always the latter: nothing is checked.) */
__attribute__((unused)) static void rig_check_place(const struct rig *r, bool jump, const char *name)
{
	if (r->notrap)
		tap_eq(rig_code(r) == 0xcc, !jump, "%s: the uprobe is %s", name, jump ? "a jump" : "the kernel's");
}

/* With these programs alone, loaded; NULL: they could not be. */
__attribute__((unused)) static struct mixed_bpf *rig_open(const struct rig *r, const char *const names[])
{
	struct mixed_bpf *s = mixed_bpf__open();
	struct bpf_program *p;

	if (!s)
		exit(2);
	bpf_object__for_each_program(p, s->obj) {
		bool on = false;

		for (int i = 0; names[i]; i++)
			on |= !strcmp(names[i], bpf_program__name(p));
		bpf_program__set_autoload(p, on);
	}
	s->rodata->target = (unsigned)r->victim.pid;
	if (!tap_ok(mixed_bpf__load(s) == 0, "%s: loaded", names[0])) {
		mixed_bpf__destroy(s);
		return NULL;
	}
	return s;
}

__attribute__((unused)) static struct bpf_link *rig_attach(const struct rig *r, struct bpf_program *p, const char *function)
{
	LIBBPF_OPTS(bpf_uprobe_multi_opts, o);

	return bpf_program__attach_uprobe_multi(p, r->victim.pid, r->victim_path, function, &o);
}

/* Of a map; ~0: no such element. */
__attribute__((unused)) static unsigned long long rig_value(struct bpf_map *m, unsigned key)
{
	unsigned long long v = 0;

	return bpf_map__lookup_elem(m, &key, sizeof(key), &v, sizeof(v), 0) ? ~0ull : v;
}
