/* SPDX-License-Identifier: MIT */
/*
 * A loader as people write them: libbpf, a skeleton, global data, maps, one uprobe_multi link, a
 * ring buffer that a thread polls. Its target is itself. The same claims hold on the kernel.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "loader_libbpf.skel.h"
#include "tap.h"

#define CALLS 500

/* Visible, so that they are in the symbol table under these names. */
unsigned long probed_a(unsigned long x);
unsigned long probed_b(unsigned long x);

__attribute__((noinline, noclone)) unsigned long probed_a(unsigned long x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

__attribute__((noinline, noclone)) unsigned long probed_b(unsigned long x)
{
	__asm__ volatile("" : "+r"(x));
	return x * 3;
}

struct reader {
	struct ring_buffer *ring;
	unsigned long events, sum, wrong;
	bool stop;
};

static int on_event(void *arg, void *data, size_t size)
{
	struct reader *r = arg;
	const unsigned long *e = data;

	r->wrong += size != 16 || (e[0] != 11 && e[0] != 22);
	r->sum += e[1];
	__atomic_fetch_add(&r->events, 1, __ATOMIC_RELEASE);
	return 0;
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
		ring_buffer__poll(r->ring, 200);
	return NULL;
}

static bool wait_for(const unsigned long *n, unsigned long want)
{
	for (int i = 0; i < 300 && __atomic_load_n(n, __ATOMIC_ACQUIRE) < want; i++)
		usleep(10000);
	return __atomic_load_n(n, __ATOMIC_ACQUIRE) == want;
}

static unsigned long call_both(unsigned long n)
{
	unsigned long sum = 0;

	for (unsigned long i = 0; i < n; i++) {
		probed_a(i);
		probed_b(i);
		sum += 2 * i;
	}
	return sum;
}

static void test_global_data(struct loader_libbpf_bpf *s)
{
	volatile unsigned long *ro = (volatile unsigned long *)&s->rodata->step;

	tap_eq(s->rodata->step, 3, ".rodata has what the loader put there");
	tap_eq(s->rodata->settings.b, 8, "and what the compiler did");
	tap_ok(mprotect((void *)((unsigned long)ro & ~4095ul), 4096, PROT_READ | PROT_WRITE) == -1,
	       "it is read-only for the loader now");
	tap_eq(s->data->data_value, 5, ".data");
	tap_eq(s->bss->calls, 0, ".bss");
	tap_ok(s->maps.rodata && bpf_map__set_value_size(s->maps.rodata, 8) != 0,
	       "a loaded map keeps its size");
}

static unsigned long map_sum_percpu(const struct bpf_map *m)
{
	unsigned long values[256] = {}, sum = 0;
	unsigned int zero = 0;
	int n = libbpf_num_possible_cpus();

	if (n > 256 || bpf_map__lookup_elem(m, &zero, sizeof(zero), values, (size_t)n * 8, 0))
		return ~0ul;
	for (int i = 0; i < n; i++)
		sum += values[i];
	return sum;
}

static void test_counts(struct loader_libbpf_bpf *s, struct reader *r, unsigned long sum)
{
	unsigned long key, value = 0;

	tap_eq(s->bss->calls, 2 * CALLS, "every call counted in .bss");
	tap_eq(s->data->data_value, 5 + 3 * 2 * CALLS, "and added in .data");
	key = 11;
	tap_ok(!bpf_map__lookup_elem(s->maps.by_cookie, &key, 8, &value, 8, 0) && value == CALLS,
	       "by the first cookie");
	key = 22;
	tap_ok(!bpf_map__lookup_elem(s->maps.by_cookie, &key, 8, &value, 8, 0) && value == CALLS,
	       "and by the second");
	tap_eq(map_sum_percpu(s->maps.per_cpu), 2 * CALLS, "per CPU");
	tap_ok(wait_for(&r->events, 2 * CALLS), "every call is an event that woke up the reader");
	tap_eq(r->sum, sum, "with its argument");
	tap_eq(r->wrong, 0, "and its cookie");
}

static void test_latency(struct reader *r)
{
	struct timespec a, b;
	unsigned long before = r->events;
	long us;

	usleep(300000); /* the reader sleeps in epoll_wait */
	clock_gettime(CLOCK_MONOTONIC, &a);
	probed_a(0);
	while (__atomic_load_n(&r->events, __ATOMIC_ACQUIRE) == before) {
		clock_gettime(CLOCK_MONOTONIC, &b);
		us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
		if (us > 2000000)
			break;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
	tap_ok(us < 150000, "one event wakes a sleeping reader at once");
	printf("# after %ld us\n", us);
}

static void test_link_info(const struct bpf_link *link)
{
	struct bpf_link_info info = {};
	unsigned int len = sizeof(info);

	tap_eq(bpf_link_get_info_by_fd(bpf_link__fd(link), &info, &len), 0,
	       "the link tells about itself");
	tap_eq(info.type, 12, "BPF_LINK_TYPE_UPROBE_MULTI");
	tap_ok(info.id > 0 && info.prog_id > 0, "its id and its program's");
}

int main(void)
{
	const char *syms[] = {"probed_a", "probed_b"};
	const __u64 cookies[] = {11, 22};
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .syms = syms, .cookies = cookies, .cnt = 2);
	struct loader_libbpf_bpf *s = loader_libbpf_bpf__open();
	struct reader r = {};
	struct bpf_link *link;
	unsigned long sum;
	pthread_t thread;
	unsigned int id;
	struct bpf_link_info info = {};
	unsigned int len = sizeof(info);

	if (!getenv("NOTRAP_FD") && geteuid())
		tap_skip_all("without notrap this needs root");
	if (!s)
		return 99;
	s->rodata->step = 3;
	if (!tap_ok(loader_libbpf_bpf__load(s) == 0, "the object is loaded"))
		return tap_done();
	test_global_data(s);
	r.ring = ring_buffer__new(bpf_map__fd(s->maps.events), on_event, &r, NULL);
	if (!tap_ok(r.ring != NULL, "the ring buffer is mapped and in an epoll set"))
		return tap_done();
	pthread_create(&thread, NULL, reader_main, &r);
	link = bpf_program__attach_uprobe_multi(s->progs.on_call, getpid(), "/proc/self/exe", NULL,
						&opts);
	if (!tap_ok(link != NULL, "one link on two functions"))
		return tap_done();
	sum = call_both(CALLS);
	test_counts(s, &r, sum);
	test_latency(&r);
	test_link_info(link);
	bpf_link_get_info_by_fd(bpf_link__fd(link), &info, &len);
	id = info.id;
	sum = s->bss->calls;
	bpf_link__destroy(link);
	tap_ok(bpf_link_get_fd_by_id(id) == -ENOENT, "when close returns the link is gone");
	call_both(CALLS);
	tap_eq(s->bss->calls, sum, "and the program does not run any more");
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	ring_buffer__free(r.ring);
	loader_libbpf_bpf__destroy(s);
	return tap_done();
}
