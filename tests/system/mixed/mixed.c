/* SPDX-License-Identifier: MIT */
/*
 * One script, half of it in the kernel: the same numbers as when all of it is there. Where a uprobe is a jump and where
 * it has to be a breakpoint is looked at in the victim's code ("notrap" as second argument).
 *
 *     mixed VICTIM [kernel|notrap|hold]
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mixed.h"
#include "mixed.skel.h"
#include "tap.h"
#include "victim_io.h"

#define N 500

static struct victim_io victim;
static const char *victim_path;
static unsigned long f_addr, g_addr;
static bool notrap;

static void go(int first, int n)
{
	char line[64];

	snprintf(line, sizeof(line), "%d %d", first, n);
	if (!victim_do(&victim, line))
		exit(2);
}

/* As victim_start(), which only looks at the "ready". */
static void start(void)
{
	char *argv[] = {(char *)victim_path, NULL};
	char line[128];
	int in[2], out[2];

	if (pipe(in) || pipe(out))
		exit(2);
	victim.pid = fork();
	if (!victim.pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		for (int i = 3; i < 256; i++)
			close(i);
		victim_env_clear();
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	victim.in = in[1];
	victim.out = fdopen(out[0], "r");
	setvbuf(victim.out, NULL, _IONBF, 0);
	if (!victim_line(&victim, line, sizeof(line)) || sscanf(line, "ready %lx %lx", &f_addr, &g_addr) != 2)
		exit(2);
}

static unsigned char code_now(void)
{
	unsigned char byte = 0;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)victim.pid);
	fd = open(path, O_RDONLY);
	if (fd < 0 || pread(fd, &byte, 1, (off_t)f_addr) != 1)
		exit(2);
	close(fd);
	return byte;
}

static unsigned long file_offset(unsigned long addr)
{
	unsigned long start, end, off, found = 0;
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)victim.pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &off) == 3 && addr >= start && addr < end)
			found = addr - start + off;
	if (f)
		fclose(f);
	return found;
}

static void check_place(bool jump, const char *name)
{
	if (notrap)
		tap_eq(code_now() == 0xcc, !jump, "%s: the uprobe is %s", name, jump ? "a jump" : "the kernel's");
}

static struct mixed_bpf *open_with(const char *const names[])
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
	s->rodata->target = (unsigned)victim.pid;
	if (!tap_ok(mixed_bpf__load(s) == 0, "%s: loaded", names[0])) {
		mixed_bpf__destroy(s);
		return NULL;
	}
	return s;
}

static struct bpf_link *attach_user(struct bpf_program *p)
{
	LIBBPF_OPTS(bpf_uprobe_multi_opts, o);

	return bpf_program__attach_uprobe_multi(p, victim.pid, victim_path, "mixed_f", &o);
}

struct pair {
	struct bpf_link *user, *kernel;
};

static struct pair attach(struct bpf_program *u, struct bpf_program *k, bool kernel_first)
{
	struct pair p = {};

	if (kernel_first)
		p.kernel = bpf_program__attach(k);
	p.user = attach_user(u);
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

static unsigned long long value(struct bpf_map *m, unsigned key)
{
	unsigned long long v = 0;

	return bpf_map__lookup_elem(m, &key, sizeof(key), &v, sizeof(v), 0) ? ~0ull : v;
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
	struct mixed_bpf *s = open_with((const char *[]){"u_alone", "k_alone", NULL});
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_alone, s->progs.k_alone, order);
	check_place(true, "nothing shared");
	go(0, N);
	detach(p);
	go(0, N);
	tap_eq(value(s->maps.alone_user, 1), N, "nothing shared: the uprobe's count");
	tap_eq(value(s->maps.alone_kernel, 1), N, "nothing shared: the tracepoint's count");
	mixed_bpf__destroy(s);
}

static void test_array(bool order)
{
	struct mixed_bpf *s = open_with((const char *[]){"u_array", "k_array", NULL});
	unsigned key = 3;
	unsigned long long v = 77;
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_array, s->progs.k_array, order);
	check_place(true, "array");
	go(0, N);
	detach(p);
	tap_eq(value(s->maps.array, 0), 2 * N, "array: both have added to one element");
	tap_eq(value(s->maps.array, 1), N, "array: the uprobe's own");
	tap_eq(value(s->maps.array, 2), N, "array: the tracepoint's own");
	tap_eq(bpf_map__update_elem(s->maps.array, &key, 4, &v, 8, 0), 0, "array: the loader writes");
	tap_eq(value(s->maps.array, 3), 77, "array: and reads");
	mixed_bpf__destroy(s);
}

static void test_percpu(bool order)
{
	struct mixed_bpf *s = open_with((const char *[]){"u_percpu", "k_percpu", NULL});
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_percpu, s->progs.k_percpu, order);
	check_place(false, "per-CPU array");
	go(0, N);
	detach(p);
	tap_eq(percpu_sum(s->maps.percpu, 0), N, "per-CPU array: the uprobe's");
	tap_eq(percpu_sum(s->maps.percpu, 1), N, "per-CPU array: the tracepoint's");
	mixed_bpf__destroy(s);
}

static void test_inner(bool order)
{
	struct mixed_bpf *s = open_with((const char *[]){"u_inner_array", "k_inner_array", NULL});
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_inner_array, s->progs.k_inner_array, order);
	check_place(true, "inner array");
	go(0, N);
	detach(p);
	tap_eq(value(s->maps.inner_array, 0), 2 * N, "inner array: both have added to one element");
	mixed_bpf__destroy(s);
	s = open_with((const char *[]){"u_inner_hash", "k_inner_hash", NULL});
	if (!s)
		return;
	p = attach(s->progs.u_inner_hash, s->progs.k_inner_hash, order);
	check_place(false, "inner hash");
	go(0, N);
	detach(p);
	tap_eq(value(s->maps.inner_hash, 0), 2 * N, "inner hash: both have added to one element");
	mixed_bpf__destroy(s);
}

static void test_bss(bool order)
{
	struct mixed_bpf *s = open_with((const char *[]){"u_bss", "k_bss", NULL});
	struct pair p;

	if (!s)
		return;
	s->bss->bss_both = 5;
	p = attach(s->progs.u_bss, s->progs.k_bss, order);
	check_place(true, ".bss");
	go(0, N);
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
	struct mixed_bpf *s = open_with((const char *[]){"u_hash", "k_hash", NULL});
	struct pair p;

	if (!s)
		return;
	p = attach(s->progs.u_hash, s->progs.k_hash, order);
	check_place(false, "hash");
	go(0, N);
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
	struct mixed_bpf *s = open_with((const char *[]){"u_ring", "k_ring", NULL});
	struct seen seen = {};
	struct ring_buffer *rb;
	struct pair p;

	if (!s)
		return;
	rb = ring_buffer__new(bpf_map__fd(s->maps.ring), on_record, &seen, NULL);
	p = attach(s->progs.u_ring, s->progs.k_ring, order);
	check_place(true, "ring buffer");
	for (int i = 0; i < 3 * N / 100; i++) {
		go(0, 100); /* 200 records: more would not fit */
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
	struct mixed_bpf *s = open_with((const char *[]){"u_perf", "k_perf", NULL});
	struct seen seen = {};
	struct perf_buffer *pb;
	struct pair p;

	if (!s)
		return;
	pb = perf_buffer__new(bpf_map__fd(s->maps.perf), 8, on_sample, NULL, &seen, NULL);
	p = attach(s->progs.u_perf, s->progs.k_perf, order);
	check_place(true, "perf buffer");
	for (int i = 0; i < 3 * N / 100; i++) {
		go(0, 100);
		while (seen.n[1] + seen.n[2] < 200u * (unsigned)(i + 1) && perf_buffer__poll(pb, 5000) > 0)
			;
	}
	check_seen(&seen, "perf buffer");
	detach(p);
	perf_buffer__free(pb);
	mixed_bpf__destroy(s);
}

static void test_tail(void)
{
	struct mixed_bpf *s = open_with((const char *[]){"k_tail", "k_tail_end", NULL});
	unsigned key = 1;
	struct bpf_link *l;
	int fd;

	if (!s)
		return;
	fd = bpf_program__fd(s->progs.k_tail_end);
	tap_eq(bpf_map__update_elem(s->maps.tails, &key, 4, &fd, 4, 0), 0, "tail call: stored");
	l = bpf_program__attach(s->progs.k_tail);
	go(0, N);
	tap_eq(s->bss->bss_kernel, N, "tail call: made");
	tap_eq(bpf_map__delete_elem(s->maps.tails, &key, 4, 0), 0, "tail call: taken away");
	go(0, N);
	tap_eq(s->bss->bss_kernel, N, "tail call: not made");
	bpf_link__destroy(l);
	mixed_bpf__destroy(s);
}

static void test_raw(void)
{
	struct mixed_bpf *s = open_with((const char *[]){"r_enter", NULL});
	struct bpf_link *l = s ? bpf_program__attach(s->progs.r_enter) : NULL;

	if (tap_ok(l != NULL, "raw tracepoint: attached"))
		go(0, N);
	if (s)
		tap_eq(s->bss->bss_kernel, N, "raw tracepoint: counts");
	bpf_link__destroy(l);
	mixed_bpf__destroy(s);
}

/* A perf event of the kernel's own that runs programs of the uprobes' type. */
#define TRACING "/sys/kernel/tracing/"

static int trace_event(void)
{
	char text[512] = "";
	struct perf_event_attr a = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(a), .sample_period = 1};
	int fd = open(TRACING "uprobe_events", O_WRONLY | O_APPEND), r = -1;

	snprintf(text, sizeof(text), "p:notrap_test/mixed_%d %s:0x%lx", (int)getpid(), victim_path, file_offset(g_addr));
	if (fd >= 0)
		r = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
	close(fd);
	snprintf(text, sizeof(text), TRACING "events/notrap_test/mixed_%d/id", (int)getpid());
	fd = open(text, O_RDONLY);
	memset(text, 0, sizeof(text));
	if (r || fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	close(fd);
	a.config = strtoull(text, NULL, 10);
	return (int)syscall(SYS_perf_event_open, &a, victim.pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void trace_event_remove(void)
{
	char text[128];
	int fd = open(TRACING "uprobe_events", O_WRONLY | O_APPEND);

	snprintf(text, sizeof(text), "-:notrap_test/mixed_%d", (int)getpid());
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		printf("# the event stays\n");
	close(fd);
}

/*
 * The uprobe has its jump, and elements in its map, when a program of the same type goes to an event of the kernel's:
 * jump, elements and program move.
 */
static void test_moves(void)
{
	struct mixed_bpf *s = open_with((const char *[]){"u_hash", "e_hash", NULL});
	struct bpf_link *u, *e;
	unsigned missing = 0;
	int event;

	if (!s)
		return;
	u = attach_user(s->progs.u_hash);
	check_place(true, "before it moves");
	go(0, N);
	event = trace_event();
	if (event < 0) {
		tap_skip("no uprobe_events in tracefs", "a program that is the kernel's when it is attached");
		goto out;
	}
	e = bpf_program__attach_perf_event(s->progs.e_hash, event);
	tap_ok(e != NULL, "an event of the kernel's own runs a program of the uprobes' type");
	check_place(false, "it has moved");
	for (unsigned i = 0; i < N; i++)
		missing += value(s->maps.start, i) != i + 1000;
	tap_eq(missing, 0, "with all elements");
	go(N, N);
	tap_eq(s->bss->bss_kernel, N, "what it writes is found by the kernel's");
	bpf_link__destroy(e);
out:
	bpf_link__destroy(u);
	tap_ok(code_now() != 0xcc, "nothing is left in the code");
	mixed_bpf__destroy(s);
	trace_event_remove();
}

static void hold(void)
{
	struct mixed_bpf *s = open_with((const char *[]){"u_hash", "k_hash", NULL});

	if (!s || !attach_user(s->progs.u_hash) || !bpf_program__attach(s->progs.k_hash))
		exit(3);
	printf("holding\n");
	fflush(stdout);
	while (getchar() != EOF) /* the one who started us is gone */
		;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[2] : "kernel";
	struct bpf_link *l;
	struct mixed_bpf *s;

	if (geteuid() || access(TRACING "events/syscalls/sys_enter_getpriority/id", R_OK))
		tap_skip_all("needs root, and tracepoints of system calls");
	victim_path = argv[1];
	notrap = !strcmp(mode, "notrap");
	start();
	if (!strcmp(mode, "hold"))
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
	test_tail();
	test_raw();
	s = open_with((const char *[]){"u_alone", NULL});
	l = s ? attach_user(s->progs.u_alone) : NULL;
	tap_ok(l != NULL, "a link alone");
	bpf_link__destroy(l);
	mixed_bpf__destroy(s);
	test_moves();
	tap_eq(victim_end(&victim), 0, "the victim is well");
	return tap_done();
}
