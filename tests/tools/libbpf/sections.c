/* SPDX-License-Identifier: MIT */
/*
 * sections OBJECT VICTIM: attaches every program of OBJECT by its section name, lets VICTIM make its calls, checks what
 * was counted. Nothing but libbpf's own ways, whatever version of it this is linked with.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLS 1000
/* How often each counts in a round of calls: p_? are eight functions, "twice" is two places, one session counts on both
 * sides. */
static const unsigned per_call[13] = { 1, 1, 1, 1, 8, 8, 1, 1, 2, 1, 1, 2, 1 };

static int failed, number;

static void check(int ok, const char *what, const char *name)
{
	printf("%sok %d - libbpf %s: %s %s\n", ok ? "" : "not ", ++number, libbpf_version_string(), name, what);
	failed += !ok;
}

static FILE *to, *from;

static void start(char *victim)
{
	int in[2], out[2];
	char line[32];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) /* the victim ends when we do */
		exit(99);
	if (!fork()) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(victim, victim, NULL);
		_exit(99);
	}
	to = fdopen(in[1], "w");
	from = fdopen(out[0], "r");
	if (!fgets(line, sizeof(line), from))
		exit(99);
}

static void call(void)
{
	char line[32];

	fprintf(to, "%d\n", CALLS);
	fflush(to);
	if (!fgets(line, sizeof(line), from))
		exit(99);
}

static unsigned long long hits(struct bpf_object *o, unsigned i)
{
	unsigned long long v = 0;

	bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(o, "hits"), &i, &v);
	return v;
}

int main(int argc, char **argv)
{
	struct bpf_object *o = argc == 3 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_link *link[16] = { NULL };
	struct bpf_program *p;

	if (!o || bpf_object__load(o)) {
		check(0, "loads", "object");
		return 1;
	}
	start(argv[2]);
	bpf_object__for_each_program(p, o) {
		unsigned i = (unsigned)atoi(bpf_program__name(p) + 2);

		link[i] = bpf_program__attach(p);
		check(link[i] != NULL, "attaches", bpf_program__name(p));
	}
	call();
	bpf_object__for_each_program(p, o) {
		unsigned i = (unsigned)atoi(bpf_program__name(p) + 2);

		check(hits(o, i) == CALLS * per_call[i], "counts every call", bpf_program__name(p));
		if (hits(o, i) != CALLS * per_call[i])
			printf("# %llu of %u\n", hits(o, i), CALLS * per_call[i]);
		bpf_link__destroy(link[i]);
	}
	call();
	bpf_object__for_each_program(p, o) {
		unsigned i = (unsigned)atoi(bpf_program__name(p) + 2);

		check(hits(o, i) == CALLS * per_call[i], "counts nothing when it is gone", bpf_program__name(p));
	}
	printf("1..%d\n", number);
	return failed != 0;
}
