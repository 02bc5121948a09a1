/* SPDX-License-Identifier: MIT */
/*
 * One script, half of it in the kernel: the same numbers as when all of it is there. Where a uprobe is a jump and where
 * it has to be a breakpoint is looked at in the victim's code ("notrap" as second argument).
 *
 *     mixed VICTIM [kernel|notrap|hold]
 */
#include "rig.h"

#include <errno.h>
#include <unistd.h>

#include "tap.h"

static struct rig rig;

struct pair {
	struct bpf_link *user, *kernel;
};

static struct pair attach(struct bpf_program *u, struct bpf_program *k, bool kernel_first)
{
	struct pair p = {};

	if (kernel_first)
		p.kernel = bpf_program__attach(k);
	p.user = rig_attach(&rig, u, "mixed_f");
	if (!kernel_first)
		p.kernel = bpf_program__attach(k);
	tap_ok(p.user && p.kernel, "%s and %s: attached", bpf_program__name(u), bpf_program__name(k));
	return p;
}

static void detach(struct pair p)
{
	bpf_link__destroy(p.user);
	bpf_link__destroy(p.kernel);
}

static unsigned long long percpu_sum(struct bpf_map *m, unsigned key)
{
	unsigned long long v[256] = {}, sum = 0;
	int n = libbpf_num_possible_cpus();

	if (n > 256 || bpf_map__lookup_elem(m, &key, sizeof(key), v, 8 * (size_t)n, 0))
		return ~0ull;
	for (int i = 0; i < n; i++)
		sum += v[i];
	return sum;
}

static void test_alone(bool order)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_alone", "k_alone", NULL});
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_alone, s->progs.k_alone, order);
	rig_check_place(&rig, true, "nothing shared");
	rig_go(&rig, 0, N);
	detach(p);
	rig_go(&rig, 0, N);
	tap_eq(rig_value(s->maps.alone_user, 1), N, "nothing shared: the uprobe's count");
	tap_eq(rig_value(s->maps.alone_kernel, 1), N, "nothing shared: the tracepoint's count");
	mixed_bpf__destroy(s);
}

static void test_array(bool order)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_array", "k_array", NULL});
	unsigned key = 3;
	unsigned long long v = 77;
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_array, s->progs.k_array, order);
	rig_check_place(&rig, true, "array");
	rig_go(&rig, 0, N);
	detach(p);
	tap_eq(rig_value(s->maps.array, 0), 2 * N, "array: both have added to one element");
	tap_eq(rig_value(s->maps.array, 1), N, "array: the uprobe's own");
	tap_eq(rig_value(s->maps.array, 2), N, "array: the tracepoint's own");
	tap_eq(bpf_map__update_elem(s->maps.array, &key, 4, &v, 8, 0), 0, "array: the loader writes");
	tap_eq(rig_value(s->maps.array, 3), 77, "array: and reads");
	mixed_bpf__destroy(s);
}

static void test_percpu(bool order)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_percpu", "k_percpu", NULL});
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_percpu, s->progs.k_percpu, order);
	rig_check_place(&rig, false, "per-CPU array");
	rig_go(&rig, 0, N);
	detach(p);
	tap_eq(percpu_sum(s->maps.percpu, 0), N, "per-CPU array: the uprobe's");
	tap_eq(percpu_sum(s->maps.percpu, 1), N, "per-CPU array: the tracepoint's");
	mixed_bpf__destroy(s);
}

static void test_inner(bool order)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_inner_array", "k_inner_array", NULL});
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_inner_array, s->progs.k_inner_array, order);
	rig_check_place(&rig, true, "inner array");
	rig_go(&rig, 0, N);
	detach(p);
	tap_eq(rig_value(s->maps.inner_array, 0), 2 * N, "inner array: both have added to one element");
	mixed_bpf__destroy(s);
	s = rig_open(&rig, (const char *[]){"u_inner_hash", "k_inner_hash", NULL});
	if (!s)
		return;
	p = attach(s->progs.u_inner_hash, s->progs.k_inner_hash, order);
	rig_check_place(&rig, false, "inner hash");
	rig_go(&rig, 0, N);
	detach(p);
	tap_eq(rig_value(s->maps.inner_hash, 0), 2 * N, "inner hash: both have added to one element");
	mixed_bpf__destroy(s);
}

static void test_bss(bool order)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_bss", "k_bss", NULL});
	struct pair p;

	if (!s)
		return;
	s->bss->bss_both = 5;
	p = attach(s->progs.u_bss, s->progs.k_bss, order);
	rig_check_place(&rig, true, ".bss");
	rig_go(&rig, 0, N);
	tap_eq(s->bss->bss_user, N, ".bss: the uprobe's");
	tap_eq(s->bss->bss_kernel, N, ".bss: the tracepoint's");
	tap_eq(s->bss->bss_both, 2 * N + 5, ".bss: both have added to what the loader wrote");
	detach(p);
	mixed_bpf__destroy(s);
}

/* All calls of the loader for elements, of a map that programs on both sides use. */
static void check_calls(struct bpf_map *m)
{
	unsigned keys[8], next = 0, n = 8, token = 0;
	unsigned long long v = 5, values[8];
	int fd = bpf_map__fd(m);

	for (unsigned k = 0; k < 4; k++)
		tap_eq(bpf_map_update_elem(fd, &k, &v, BPF_NOEXIST), 0, "hash: update");
	tap_eq(bpf_map_update_elem(fd, &next, &v, BPF_NOEXIST), -EEXIST, "hash: update of what is there");
	tap_eq(bpf_map_lookup_batch(fd, NULL, &token, keys, values, &n, NULL), -ENOENT, "hash: batch, to the end");
	tap_eq(n, 4, "hash: of four elements");
	next = 0;
	tap_eq(bpf_map_lookup_and_delete_elem(fd, &next, &v), 0, "hash: look up and delete");
	tap_eq(bpf_map_lookup_elem(fd, &next, &v), -ENOENT, "hash: it is gone");
	n = 3;
	keys[0] = 1, keys[1] = 2, keys[2] = 3;
	tap_eq(bpf_map_delete_batch(fd, keys, &n, NULL), 0, "hash: delete a batch");
	tap_eq(bpf_map_get_next_key(fd, NULL, &next), -ENOENT, "hash: it is empty");
	tap_eq(bpf_map_update_elem(fd, (void *)8, &v, 0), -EFAULT, "hash: a bad key");
}

static void test_hash(bool order)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_hash", "k_hash", NULL});
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_hash, s->progs.k_hash, order);
	rig_check_place(&rig, false, "hash");
	rig_go(&rig, 0, N);
	tap_eq(s->bss->bss_kernel, N, "hash: the tracepoint has found what the uprobe wrote");
	detach(p);
	check_calls(s->maps.start);
	mixed_bpf__destroy(s);
}

struct seen {
	unsigned n[3], disorder;
};

static int on_record(void *arg, void *data, size_t size)
{
	struct mixed_record *r = data;
	struct seen *s = arg;

	if (r->from > 2 || r->n != s->n[r->from])
		s->disorder++;
	s->n[r->from & 3]++;
	return 0;
}

static void on_sample(void *arg, int cpu, void *data, __u32 size)
{
	struct mixed_record *r = data;
	struct seen *s = arg;

	s->n[r->from & 3]++;
}

static void check_seen(const struct seen *s, const char *name)
{
	tap_eq(s->n[RECORD_USER], 3 * N, "%s: the uprobe's records", name);
	tap_eq(s->n[RECORD_KERNEL], 3 * N, "%s: the tracepoint's records", name);
	tap_eq(s->disorder, 0, "%s: each side's in their order", name);
}

static void test_ring(bool order)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_ring", "k_ring", NULL});
	struct seen seen = {};
	struct ring_buffer *rb;
	struct pair p;

	if (!s)
		return;
	rb = ring_buffer__new(bpf_map__fd(s->maps.ring), on_record, &seen, NULL);
	p = attach(s->progs.u_ring, s->progs.k_ring, order);
	rig_check_place(&rig, true, "ring buffer");
	for (int i = 0; i < 3 * N / 100; i++) {
		rig_go(&rig, 0, 100); /* 200 records: more would not fit */
		while (seen.n[1] + seen.n[2] < 200u * (unsigned)(i + 1) && ring_buffer__poll(rb, 5000) > 0)
			;
	}
	check_seen(&seen, "ring buffer");
	detach(p);
	ring_buffer__free(rb);
	mixed_bpf__destroy(s);
}

static void test_perf(bool order)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_perf", "k_perf", NULL});
	struct seen seen = {};
	struct perf_buffer *pb;
	struct pair p;

	if (!s)
		return;
	pb = perf_buffer__new(bpf_map__fd(s->maps.perf), 8, on_sample, NULL, &seen, NULL);
	p = attach(s->progs.u_perf, s->progs.k_perf, order);
	rig_check_place(&rig, true, "perf buffer");
	for (int i = 0; i < 3 * N / 100; i++) {
		rig_go(&rig, 0, 100);
		while (seen.n[1] + seen.n[2] < 200u * (unsigned)(i + 1) && perf_buffer__poll(pb, 5000) > 0)
			;
	}
	check_seen(&seen, "perf buffer");
	detach(p);
	perf_buffer__free(pb);
	mixed_bpf__destroy(s);
}

static void hold(void)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_hash", "k_hash", NULL});

	if (!s || !rig_attach(&rig, s->progs.u_hash, "mixed_f") || !bpf_program__attach(s->progs.k_hash))
		exit(3);
	bpf_obj_get_info_by_fd(bpf_program__fd(s->progs.k_hash), &info, &len);
	printf("holding %u\n", info.id); /* the kernel's number */
	fflush(stdout);
	while (getchar() != EOF) /* the one who started us is gone */
		;
}

int main(int argc, char **argv)
{
	rig_start(&rig, argv);
	if (argc > 2 && !strcmp(argv[2], "hold"))
		hold();
	for (int order = 0; order < 2; order++) {
		printf("# %s first\n", order ? "tracepoint" : "uprobe");
		test_alone(order);
		test_array(order);
		test_percpu(order);
		test_inner(order);
		test_bss(order);
		test_hash(order);
		test_ring(order);
		test_perf(order);
	}
	tap_eq(victim_end(&rig.victim), 0, "the victim is well");
	return tap_done();
}
