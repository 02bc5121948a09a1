/* SPDX-License-Identifier: MIT */
/*
 * An ordinary libbpf loader for the benchmark: it attaches one program to functions of a process
 * and obeys.
 *
 *   loader PROGRAM MANNER PID FILE PATTERN MAX
 *
 * PROGRAM: empty, array, atomic, percpu, hash, ringbuf. MANNER: entry, return or session (both) by
 * uprobe_multi links, entry-single or return-single by one perf uprobe. At most MAX matching
 * functions. It says "ready" when the program is loaded, and then answers "attach" and "detach"
 * with the nanoseconds they took, "count" with the runs that the program has recorded.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/attach.h"
#include "common/target.h"
#include "probe.skel.h"

struct loader {
	struct probe_bpf *skel;
	const char *program;
	struct target target;
	struct bpf_link *links[2];
	struct ring_buffer *ring;
	pthread_t consumer;
	uint64_t records; /* that the consumer has seen */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static struct bpf_program *choose(struct probe_bpf *skel, const char *name)
{
	const struct {
		const char *name;
		struct bpf_program *prog;
	} table[] = {
	    {"empty", skel->progs.empty},	  {"array", skel->progs.count_array},
	    {"atomic", skel->progs.count_atomic}, {"percpu", skel->progs.count_percpu},
	    {"hash", skel->progs.count_hash},	  {"ringbuf", skel->progs.count_ring},
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (!strcmp(table[i].name, name))
			return table[i].prog;
	return NULL;
}

/* -- Reading what was counted -- */

static int on_record(void *arg, void *data, size_t size)
{
	struct loader *l = arg;

	__atomic_store_n(&l->records, l->records + 1, __ATOMIC_RELAXED);
	return 0;
}

/* Spins on the first CPU while records come, looks once a millisecond while none do. */
static void *consume(void *arg)
{
	struct loader *l = arg;
	cpu_set_t cpus;
	int idle = 0;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (;;) {
		idle = ring_buffer__consume(l->ring) > 0 ? 0 : idle + 1;
		if (idle > 100000)
			usleep(1000);
	}
	return NULL;
}

static int consumer_start(struct loader *l)
{
	l->ring = ring_buffer__new(bpf_map__fd(l->skel->maps.ring), on_record, l, NULL);
	if (!l->ring)
		return -errno;
	return -pthread_create(&l->consumer, NULL, consume, l);
}

static uint64_t read_percpu(struct loader *l)
{
	int cpu, n = libbpf_num_possible_cpus();
	uint64_t *values = calloc(n, sizeof(*values)), sum = 0;
	__u32 key = 0;

	if (values && !bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.percpu), &key, values))
		for (cpu = 0; cpu < n; cpu++)
			sum += values[cpu];
	free(values);
	return sum;
}

static uint64_t read_count(struct loader *l)
{
	struct bpf_map *map = strcmp(l->program, "hash") ? l->skel->maps.array : l->skel->maps.hash;
	__u32 key = strcmp(l->program, "hash") ? 0 : l->target.pid;
	uint64_t n = 0, before;

	if (!strcmp(l->program, "percpu"))
		return read_percpu(l);
	if (l->ring) { /* until the consumer has caught up */
		do {
			before = __atomic_load_n(&l->records, __ATOMIC_RELAXED);
			usleep(20000);
		} while (before != __atomic_load_n(&l->records, __ATOMIC_RELAXED));
	}
	bpf_map_lookup_elem(bpf_map__fd(map), &key, &n);
	return n + l->records;
}

/* -- Attach -- */

static int load(struct loader *l, bool single)
{
	struct bpf_program *p, *chosen;
	__u64 zero = 0;
	__u32 pid = l->target.pid;
	int err;

	l->skel = probe_bpf__open();
	if (!l->skel)
		return -errno;
	chosen = choose(l->skel, l->program);
	if (!chosen)
		return -EINVAL;
	bpf_object__for_each_program(p, l->skel->obj) bpf_program__set_autoload(p, p == chosen);
	if (single)
		bpf_program__set_expected_attach_type(chosen, 0);
	err = probe_bpf__load(l->skel);
	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(l->skel->maps.hash), &pid, &zero, BPF_ANY);
	if (!err && !strcmp(l->program, "ringbuf"))
		err = consumer_start(l);
	return err;
}

static int attach(struct loader *l, const char *manner, uint64_t *ret_ns)
{
	struct bpf_program *prog = choose(l->skel, l->program);
	struct target *t = &l->target;
	uint64_t start = now_ns();
	int err = 0;

	if (strstr(manner, "-single")) {
		l->links[0] =
		    bpf_program__attach_uprobe(prog, !strncmp(manner, "return", 6), t->pid, t->path,
					       t->functions.fn[0].offset);
		err = l->links[0] ? 0 : -errno;
	} else {
		if (strcmp(manner, "return"))
			err = attach_functions(prog, t, false, &l->links[0]);
		if (!err && strcmp(manner, "entry"))
			err = attach_functions(prog, t, true, &l->links[1]);
	}
	*ret_ns = now_ns() - start;
	return err;
}

static uint64_t detach(struct loader *l)
{
	uint64_t start = now_ns();

	bpf_link__destroy(l->links[0]);
	bpf_link__destroy(l->links[1]);
	l->links[0] = l->links[1] = NULL;
	return now_ns() - start;
}

static int limit_functions(struct target *t, size_t max)
{
	while (t->functions.n > max)
		free(t->functions.fn[--t->functions.n].name);
	return 0;
}

static int fail(const char *what, int err)
{
	attach_explain("loader", what, err);
	return 1;
}

int main(int argc, char **argv)
{
	struct loader l = {};
	char spec[4200], line[64];
	uint64_t ns;
	int err;

	if (argc != 7)
		return fail("PROGRAM MANNER PID FILE PATTERN MAX", -EINVAL);
	libbpf_set_print(NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	l.program = argv[1];
	snprintf(spec, sizeof(spec), "%s:%s", argv[4], argv[5]);
	if (target_init(&l.target, "loader", atoi(argv[3]), spec, false))
		return 1;
	limit_functions(&l.target, atoi(argv[6]));
	err = load(&l, strstr(argv[2], "-single"));
	if (err)
		return fail("load", err);
	printf("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "attach\n")) {
			err = attach(&l, argv[2], &ns);
			if (err)
				return fail("attach", err);
		} else {
			ns = !strcmp(line, "count\n") ? read_count(&l) : detach(&l);
		}
		printf("%llu\n", (unsigned long long)ns);
	}
	detach(&l);
	_exit(0); /* the consumer thread still spins */
}
