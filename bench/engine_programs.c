/* SPDX-License-Identifier: MIT */
/* Rows engine/PROGRAM: what the programs of engine.bpf.c do, per operation, by BPF_PROG_TEST_RUN. */
#include "engine.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "engine.skel.h"

#define WINDOW_NS 4e5
#define WINDOWS 30

/* n * ROUNDS operations: nanoseconds, negative: failed. */
static double run(struct engine_bpf *s, int prog, __u64 n)
{
	__u64 args[12] = {n};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));
	int err = bpf_prog_test_run_opts(prog, &opts);

	if (err || opts.retval != n) {
		fprintf(stderr, "test run: error %d, %u rounds of %llu\n", err, opts.retval, n);
		return -1;
	}
	return (double)s->bss->took;
}

/*
 * ns per operation, in the best of many short windows: others use the machine, too, and the other thread of the core,
 * when it is busy, takes half of it. A ring takes as much as it has room for, so it is emptied in between.
 */
static double time_program(struct engine_bpf *s, int prog, struct ring_buffer *drain)
{
	double best = 1e18;
	__u64 n = drain ? 100 : 8;

	run(s, prog, 8);
	while (!drain && n < 1u << 20 && run(s, prog, n) < WINDOW_NS)
		n *= 2;
	for (int i = 0; i < WINDOWS; i++) {
		double ns;

		if (drain)
			ring_buffer__consume(drain);
		ns = run(s, prog, n);
		if (ns < 0)
			return -1;
		best = ns < best ? ns : best;
	}
	return best / (double)n / ROUNDS;
}

/* Far from any stack: what programs read when they follow a pointer. */
static const char memory[4096] = "a text of some twenty bytes";

static int on_record(void *ctx, void *data, size_t size)
{
	return 0;
}

void engine_programs(struct engine_bpf *s, const char *prefix)
{
	struct ring_buffer *rb = ring_buffer__new(bpf_map__fd(s->maps.ring), on_record, NULL, NULL);
	struct bpf_program *p;

	if (!rb)
		return;
	s->bss->page = (__u64)(uintptr_t)memory;
	bpf_object__for_each_program(p, s->obj) {
		const char *name = bpf_program__name(p);
		char row[64];
		double ns;

		snprintf(row, sizeof(row), "engine/%s", name);
		if (bpf_program__type(p) != BPF_PROG_TYPE_RAW_TRACEPOINT || !engine_wants(prefix, row))
			continue;
		ns = time_program(s, bpf_program__fd(p), strncmp(name, "ring", 4) ? NULL : rb);
		if (ns >= 0)
			printf("%s %.3f ns\n", row, ns);
	}
	ring_buffer__free(rb);
}
