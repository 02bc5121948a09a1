/* SPDX-License-Identifier: MIT */
/*
 * An ordinary libbpf loader that checks what it sees: every count must be the true number of calls. It knows nothing of
 * notrap and runs on the kernel as well; both runs must pass the same checks.
 *
 *     uprobe_test COUNTER_VICTIM LIBVICTIM [UNIT [LEAVE_OUT]]
 *
 * UNIT scales the number of calls (1000): a hit on the kernel takes up to 10 us, thousands of times what we need.
 * LEAVE_OUT is a function that is not probed (Linux 6.18 kills forked children at an optimised nop5 probe).
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/syscall.h>

#include "tap.h"
#include "uprobe.h"
#include "uprobe.skel.h"
#include "victim_io.h"

static const char *names[] = { "v_push", "v_nop5", "v_endbr64", "v_leaf", "v_mov", "v_riprel", "v_jcc",
				     "v_call", "v_sub", "v_loop", "v_jmp", "v_mov32", "v_tiny", "v_after_tiny",
				     "v_red_zone", "v_flags", "v_sum8", "v_double" };
#define MAX_FUNCS ((int)(sizeof(names) / sizeof(names[0])))
static int nfuncs = MAX_FUNCS;

static const char *counter, *library;
static __u64 unit = 1000;

/* "run THREADS N" and the like, with N in units. */
static bool tell(struct victim_io *v, const char *what, unsigned n, __u64 units)
{
	char command[64];

	snprintf(command, sizeof(command), "%s %u %llu", what, n, units * unit);
	victim_tell(v, command);
	return true;
}

static bool make(struct victim_io *v, const char *what, unsigned n, __u64 units)
{
	return tell(v, what, n, units) && victim_done(v);
}

static struct bpf_link *attach_many(struct bpf_program *prog, pid_t pid, bool ret)
{
	__u64 cookies[MAX_FUNCS];
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .syms = (const char **)names, .cookies = cookies, .cnt = nfuncs,
		    .retprobe = ret);
	struct bpf_link *l;

	for (int i = 0; i < nfuncs; i++)
		cookies[i] = (__u64)i;
	l = bpf_program__attach_uprobe_multi(prog, pid, counter, NULL, &opts);
	if (!l)
		printf("# attach %s: %s\n", bpf_program__name(prog), strerror(errno));
	return l;
}

static __u64 array_value(struct bpf_map *map, __u32 slot)
{
	__u64 v = 0;

	bpf_map__lookup_elem(map, &slot, sizeof(slot), &v, sizeof(v), 0);
	return v;
}

static void array_clear(struct bpf_map *map)
{
	__u64 zero = 0;

	for (__u32 i = 0; i < SLOTS; i++)
		bpf_map__update_elem(map, &i, sizeof(i), &zero, sizeof(zero), 0);
}

/* Every function's count in the map is want. */
static bool all_are(struct bpf_map *map, __u64 want)
{
	bool ok = true;

	for (int i = 0; i < nfuncs; i++) {
		__u64 v = array_value(map, (__u32)i);

		if (v != want) {
			printf("# %s: %llu, want %llu\n", names[i], v, want);
			ok = false;
		}
	}
	return ok;
}

static struct victim_io victim_new(void)
{
	struct victim_io v = { 0 };

	if (victim_start(&v, (char *[]){ (char *)counter, NULL }))
		tap_ok(false, "victim starts");
	return v;
}

static void test_threads(struct uprobe_bpf *s)
{
	struct victim_io v = victim_new();
	struct bpf_link *in = attach_many(s->progs.count_entry, v.pid, false);
	struct bpf_link *out = attach_many(s->progs.count_return, v.pid, true);

	tap_ok(in && out, "one link for entries and one for returns of %d functions", nfuncs);
	tap_ok(make(&v, "run", 1, 1), "one thread calls every function");
	tap_ok(all_are(s->maps.entries, unit), "entry counts are exact");
	tap_ok(all_are(s->maps.returns, unit), "return counts are exact");
	tap_ok(make(&v, "run", 8, 20), "8 threads call every function");
	tap_ok(all_are(s->maps.entries, 161 * unit), "entry counts are exact");
	tap_ok(all_are(s->maps.returns, 161 * unit), "return counts are exact");
	bpf_link__destroy(in);
	tap_ok(make(&v, "run", 2, 1), "after the entry link is gone");
	tap_ok(all_are(s->maps.entries, 161 * unit), "no entry is counted any more");
	tap_ok(all_are(s->maps.returns, 163 * unit), "returns still are, exactly");
	bpf_link__destroy(out);
	tap_ok(make(&v, "run", 2, 1) && all_are(s->maps.returns, 163 * unit), "nothing is counted after both are gone");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	array_clear(s->maps.entries);
	array_clear(s->maps.returns);
}

static void test_percpu(struct uprobe_bpf *s)
{
	struct victim_io v = victim_new();
	struct bpf_link *l = attach_many(s->progs.count_percpu, v.pid, false);
	int ncpu = libbpf_num_possible_cpus();
	__u64 value[256] = { 0 };
	size_t size = (size_t)ncpu * sizeof(value[0]);
	bool ok = true;

	tap_ok(l && ncpu <= 256 && make(&v, "run", 8, 20), "8 threads, per-CPU counters");
	for (__u32 i = 0; i < (__u32)nfuncs; i++) {
		__u64 sum = 0;

		bpf_map__lookup_elem(s->maps.percpu, &i, sizeof(i), value, size, 0);
		for (int c = 0; c < ncpu; c++)
			sum += value[c];
		if (sum != 160 * unit)
			printf("# %s: %llu\n", names[i], sum);
		ok &= sum == 160 * unit;
	}
	tap_ok(ok, "per-CPU counts add up exactly");
	bpf_link__destroy(l);
	l = attach_many(s->progs.count_percpu_hash, v.pid, false);
	tap_ok(l && make(&v, "run", 1, 20), "one thread, per-CPU hash");
	ok = true;
	for (__u64 i = 0; i < (__u64)nfuncs; i++) {
		__u64 sum = 0;

		if (bpf_map__lookup_elem(s->maps.percpu_hash, &i, sizeof(i), value, size, 0))
			ok = false;
		for (int c = 0; c < ncpu; c++)
			sum += value[c];
		ok &= sum == 20 * unit;
	}
	tap_ok(ok, "per-CPU hash counts add up exactly");
	bpf_link__destroy(l);
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

static void test_hash(struct uprobe_bpf *s)
{
	struct victim_io v = victim_new();
	struct bpf_link *l = attach_many(s->progs.count_hash, v.pid, false);
	struct hash_key key, *prev = NULL;
	__u64 sum[SLOTS] = { 0 }, value;
	int elements = 0;
	bool ok = true;

	tap_ok(l && make(&v, "run", 8, 10), "8 threads, hash keyed by function and thread");
	while (!bpf_map__get_next_key(s->maps.hash, prev, &key, sizeof(key))) {
		if (!bpf_map__lookup_elem(s->maps.hash, &key, sizeof(key), &value, sizeof(value), 0))
			sum[key.cookie % SLOTS] += value;
		ok &= value == 10 * unit;
		elements++;
		prev = &key;
	}
	tap_eq(elements, 8 * nfuncs, "one element per function and thread");
	tap_ok(ok, "each with the calls of its thread");
	for (int i = 0; i < nfuncs; i++)
		ok &= sum[i] == 80 * unit;
	tap_ok(ok, "sums are exact");
	bpf_link__destroy(l);
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

static void test_processes(struct uprobe_bpf *s)
{
	struct victim_io a = victim_new(), b = victim_new(), late;
	struct bpf_link *one = attach_many(s->progs.count_entry, a.pid, false), *all;

	tap_ok(one && make(&a, "run", 2, 1) && make(&b, "run", 2, 1), "two processes, a link for one");
	tap_ok(all_are(s->maps.entries, 2 * unit), "only its calls are counted");
	tap_ok(make(&a, "fork", 4, 1), "it forks 4 children");
	tap_ok(all_are(s->maps.entries, 2 * unit), "whose calls are not counted");
	all = attach_many(s->progs.count_return, -1, true);
	tap_ok(all && make(&a, "run", 2, 1) && make(&b, "run", 2, 1), "and a link for all processes");
	tap_ok(all_are(s->maps.returns, 4 * unit), "counts both");
	tap_ok(make(&b, "fork", 4, 1), "one of them forks 4 children");
	tap_ok(all_are(s->maps.returns, 8 * unit), "whose calls are counted");
	late = victim_new();
	nanosleep(&(struct timespec){ .tv_nsec = 400000000 }, NULL);
	tap_ok(make(&late, "run", 2, 1), "a process that started after the attach");
	tap_ok(all_are(s->maps.returns, 10 * unit), "is counted too");
	bpf_link__destroy(one);
	bpf_link__destroy(all);
	tap_ok(victim_do(&a, "run 1 100") && victim_do(&b, "run 1 100") && victim_do(&late, "run 1 100"), "all go on");
	tap_ok(all_are(s->maps.returns, 10 * unit) && all_are(s->maps.entries, 4 * unit), "uncounted");
	tap_ok(!victim_end(&a) && !victim_end(&b) && !victim_end(&late), "all found every result right");
	array_clear(s->maps.entries);
	array_clear(s->maps.returns);
}

/* Others come and go on the same functions while threads run at full speed: nothing lost, nothing double. */
static void test_churn(struct uprobe_bpf *s)
{
	struct victim_io v = victim_new();
	struct bpf_link *l = attach_many(s->progs.count_entry, v.pid, false);
	struct bpf_link *out = attach_many(s->progs.count_return, v.pid, true);
	int rounds = 0;
	bool ok = true;

	tell(&v, "run", 4, 150);
	for (; rounds < 15; rounds++) {
		struct bpf_link *other = attach_many(s->progs.count_percpu, v.pid, false);
		struct bpf_link *back = attach_many(s->progs.count_return, -1, true);

		ok &= other && back;
		bpf_link__destroy(other);
		bpf_link__destroy(back);
	}
	tap_ok(ok, "%d times two other links come and go while 4 threads run", rounds);
	tap_ok(victim_done(&v), "the threads end");
	tap_ok(all_are(s->maps.entries, 600 * unit), "the first link has every call once");
	for (int i = 0; i < nfuncs; i++)
		ok &= array_value(s->maps.returns, (__u32)i) >= 600 * unit;
	tap_ok(ok, "and the second no fewer");
	bpf_link__destroy(l);
	bpf_link__destroy(out);
	tap_ok(victim_do(&v, "spin"), "uncounted threads");
	for (rounds = 0; rounds < 15 && ok; rounds++) {
		l = attach_many(s->progs.count_entry, v.pid, false);
		out = attach_many(s->progs.count_return, v.pid, true);
		ok = l && out;
		bpf_link__destroy(out);
		bpf_link__destroy(l);
	}
	tap_ok(ok && victim_do(&v, "still"), "%d times a link comes and goes under running threads", rounds);
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	array_clear(s->maps.entries);
	array_clear(s->maps.returns);
}

struct seen {
	struct victim_io *v;
	__u64 n[2], bad, last_ts, ip_of[SLOTS];
};

static int on_event(void *ctx, void *data, size_t size)
{
	struct seen *s = ctx;
	const struct event *e = data;

	s->n[e->at_return != 0]++;
	if (size != sizeof(*e) || e->cookie >= (__u64)nfuncs || e->pid_tgid >> 32 != (__u64)s->v->pid ||
	    strcmp(e->comm, "counter"))
		s->bad++;
	else if (!s->ip_of[e->cookie])
		s->ip_of[e->cookie] = e->func_ip;
	if (s->ip_of[e->cookie % SLOTS] != e->func_ip || (!e->at_return && e->ip != e->func_ip) ||
	    (e->at_return && e->ip == e->func_ip))
		s->bad++;
	if (e->cookie < 6 && e->at_return && e->ret == 0)
		s->bad++;
	if (!e->at_return && !e->stack) /* the return address lies there */
		s->bad++;
	if (e->ts < s->last_ts)
		s->bad++;
	s->last_ts = e->ts;
	return 0;
}

static void test_events(struct uprobe_bpf *s)
{
	struct victim_io v = victim_new();
	struct seen seen = { .v = &v };
	struct ring_buffer *rb = ring_buffer__new(bpf_map__fd(s->maps.events), on_event, &seen, NULL);
	struct bpf_link *in = attach_many(s->progs.record_entry, v.pid, false);
	struct bpf_link *out = attach_many(s->progs.record_return, v.pid, true);
	int idle = 0;

	tap_ok(rb && in && out, "ring buffer, two links");
	tell(&v, "run", 1, 5);
	while (idle < 5 && seen.n[0] + seen.n[1] < 10 * unit * (__u64)nfuncs)
		idle = ring_buffer__poll(rb, 200) > 0 ? 0 : idle + 1;
	tap_ok(victim_done(&v), "one thread");
	ring_buffer__poll(rb, 100);
	/* The ring may have been full at times; what came must be right, and some must have come. */
	tap_ok(seen.n[0] > 5 * unit && seen.n[1] > 5 * unit, "records of entries (%llu) and returns (%llu) arrive", seen.n[0],
	       seen.n[1]);
	tap_eq(seen.bad, 0, "with the right process, addresses, name and order");
	bpf_link__destroy(in);
	bpf_link__destroy(out);
	ring_buffer__free(rb);
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}


static void test_single(struct uprobe_bpf *s)
{
	struct victim_io v = victim_new();
	LIBBPF_OPTS(bpf_uprobe_opts, in_opts, .func_name = "v_push", .bpf_cookie = 7);
	LIBBPF_OPTS(bpf_uprobe_opts, out_opts, .func_name = "v_endbr64", .bpf_cookie = 8, .retprobe = true);
	struct bpf_link *in, *out;

	s->bss->calls_of_one = 0;
	in = bpf_program__attach_uprobe_opts(s->progs.single_entry, v.pid, counter, 0, &in_opts);
	out = bpf_program__attach_uprobe_opts(s->progs.single_return, v.pid, counter, 0, &out_opts);
	tap_ok(in && out, "perf event uprobe and uretprobe");
	tap_ok(make(&v, "run", 4, 5), "4 threads");
	tap_eq(s->bss->calls_of_one, 20 * unit, "entries counted in global data, read through mmap");
	tap_eq(array_value(s->maps.returns, 8), 20 * unit, "returns counted under their cookie");
	bpf_link__destroy(in);
	bpf_link__destroy(out);
	tap_ok(make(&v, "run", 1, 1), "both gone");
	tap_eq(s->bss->calls_of_one, 20 * unit, "nothing is counted any more");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	array_clear(s->maps.returns);
}

static void test_dlopen(struct uprobe_bpf *s)
{
	struct victim_io v = victim_new();
	const char *sym = "l_add";
	__u64 cookie = 40;
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .syms = &sym, .cookies = &cookie, .cnt = 1);
	struct bpf_link *l = bpf_program__attach_uprobe_multi(s->progs.count_entry, v.pid, library, NULL, &opts);
	char command[600];

	tap_ok(l, "a link on a library that is not loaded yet");
	snprintf(command, sizeof(command), "load %s 1000", library);
	tap_ok(victim_do(&v, command), "the process loads it, calls a function 1000 times, unloads it");
	tap_eq(array_value(s->maps.entries, 40), 1000, "every call is counted, from the first");
	tap_ok(victim_do(&v, command) && victim_do(&v, command), "again, twice");
	tap_eq(array_value(s->maps.entries, 40), 3000, "every call is counted");
	bpf_link__destroy(l);
	tap_ok(victim_do(&v, command), "and without the link");
	tap_eq(array_value(s->maps.entries, 40), 3000, "none");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	array_clear(s->maps.entries);
}

/* The counter's value and its place in the file. */
static int semaphore(struct victim_io *v, __u64 *off)
{
	char line[64] = "";
	unsigned long at = 0;
	int value = -1;

	victim_tell(v, "sem");
	if (!victim_line(v, line, sizeof(line)) || sscanf(line, "sem %d %lu", &value, &at) != 2 || !victim_done(v))
		return -1;
	*off = at;
	return value;
}

static struct bpf_link *attach_counted(struct bpf_program *prog, pid_t pid, const char *a, const char *b, __u64 ref)
{
	const char *syms[2] = { a, b };
	unsigned long refs[2] = { ref, ref };
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .syms = syms, .ref_ctr_offsets = refs, .cnt = b ? 2 : 1);

	return bpf_program__attach_uprobe_multi(prog, pid, counter, NULL, &opts);
}

static void test_semaphore(struct uprobe_bpf *s)
{
	struct victim_io v = victim_new();
	struct bpf_link *one, *two, *three;
	__u64 off = 0;

	tap_eq(semaphore(&v, &off), 0, "a reference counter at %llu", off);
	one = attach_counted(s->progs.count_entry, v.pid, "v_push", NULL, off);
	tap_ok(one && semaphore(&v, &off) == 1, "is 1 while a link is there");
	two = attach_counted(s->progs.count_percpu, v.pid, "v_push", NULL, off);
	tap_ok(two && semaphore(&v, &off) == 1, "is still 1 with a second link on the same function");
	three = attach_counted(s->progs.count_percpu, v.pid, "v_mov", "v_sub", off);
	tap_ok(three && semaphore(&v, &off) == 3, "is 3 when two other functions count on it");
	errno = 0;
	tap_ok(!attach_counted(s->progs.count_entry, v.pid, "v_push", NULL, off + 2) && errno == EINVAL,
	       "another counter for the same function is refused");
	bpf_link__destroy(one);
	tap_eq(semaphore(&v, &off), 3, "one link fewer, the functions are the same");
	bpf_link__destroy(three);
	tap_eq(semaphore(&v, &off), 1, "two functions fewer");
	bpf_link__destroy(two);
	tap_eq(semaphore(&v, &off), 0, "and 0 at the end");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	array_clear(s->maps.entries);
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return getenv("UPROBE_TEST_VERBOSE") ? vfprintf(stderr, fmt, ap) : 0;
}

int main(int argc, char **argv)
{
	struct uprobe_bpf *s;

	if (argc < 3)
		return 2;
	counter = argv[1];
	library = argv[2];
	if (argc > 3)
		unit = strtoull(argv[3], NULL, 10);
	for (int i = 0; argc > 4 && i < nfuncs; i++)
		if (!strcmp(names[i], argv[4]))
			names[i] = names[--nfuncs];
	libbpf_set_print(quiet);
	s = uprobe_bpf__open_and_load();
	if (!s && errno == EPERM)
		tap_skip_all("bpf(2) is not permitted to this user");
	if (!tap_ok(s, "programs load"))
		return tap_done();
	test_threads(s);
	test_percpu(s);
	test_hash(s);
	test_processes(s);
	test_churn(s);
	test_events(s);
	test_single(s);
	test_dlopen(s);
	test_semaphore(s);
	uprobe_bpf__destroy(s);
	return tap_done();
}
