/* SPDX-License-Identifier: MIT */
/*
 * Perf buffers as libbpf's perf_buffer uses them: the same checks on the kernel and under notrap. Every event arrives
 * once, in order, or is counted as lost; who sleeps for it is woken.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "tap.h"
#include "maps.skel.h"
#include "victim.h"

struct seen {
	__u64 n, lost, bad, last_a;
	__u32 last_size;
};

static void on_sample(void *arg, int cpu, void *data, __u32 size)
{
	struct seen *s = arg;
	const struct event *e = data;

	s->bad += size < 20;
	for (__u32 i = 0; i + 16 < size - 4; i++) /* the last 4 are padding */
		s->bad += e->text[i] != (char)(e->a + i);
	s->n++;
	s->last_a = e->a;
	s->last_size = size;
}

static void on_lost(void *arg, int cpu, __u64 n)
{
	((struct seen *)arg)->lost += n;
}

static void drain(struct perf_buffer *pb)
{
	while (perf_buffer__poll(pb, 100) > 0)
		;
}

static void test_buffer(struct maps_bpf *s, struct victim *v)
{
	struct seen seen = {};
	struct perf_buffer *pb = perf_buffer__new(bpf_map__fd(s->maps.events), 2, on_sample, on_lost, &seen, NULL);
	__u64 sent;

	if (!tap_ok(pb != NULL, "perf_buffer__new"))
		return;
	tap_eq(perf_buffer__poll(pb, 0), 0, "nothing yet");
	victim_do(v, OP_PERF, 7, 8, 1);
	tap_eq(s->bss->result, 0, "output");
	tap_eq(perf_buffer__poll(pb, 2000), 1, "one sample wakes the reader");
	tap_eq(seen.n, 1, "it is there");
	tap_eq(seen.last_a, 7, "with its content");
	tap_eq(seen.last_size, 28, "size 24 becomes 28");
	victim_do(v, OP_PERF, 9, 0, 1);
	drain(pb);
	tap_eq(seen.last_size, 20, "size 16 becomes 20");
	for (int i = 0; i < 100; i++) {
		victim_do(v, OP_PERF, (__u64)i, 40, 50);
		perf_buffer__consume(pb);
	}
	drain(pb);
	tap_eq(seen.n, 5002, "5000 more, around the ring many times");
	tap_eq(seen.bad, 0, "all of them whole");
	tap_eq(seen.lost, 0, "none lost");
	/* Two pages hold some 100 of them. */
	victim_do(v, OP_PERF, 0, 40, 1000);
	tap_eq(s->bss->result, -ENOSPC, "a full buffer refuses");
	sent = seen.n;
	drain(pb);
	victim_do(v, OP_PERF, 0, 40, 10);
	drain(pb);
	tap_ok(seen.lost > 0 && seen.lost + seen.n == sent + 1010, "lost ones are counted (%llu)", seen.lost);
	perf_buffer__free(pb);
	victim_do(v, OP_PERF, 0, 8, 1);
	tap_eq(s->bss->result, -ENOENT, "after the buffer is gone");
}

static void test_sleep(struct maps_bpf *s, struct victim *v)
{
	struct seen seen = {};
	struct perf_buffer *pb = perf_buffer__new(bpf_map__fd(s->maps.events), 8, on_sample, on_lost, &seen, NULL);
	struct victim_order q = {{OP_PERF, 5, 8}, 1};
	bool ok = true;
	pid_t pid;
	char c;

	for (int i = 0; i < 20 && pb; i++) {
		pid = fork(); /* sends the order while we sleep */
		if (!pid) {
			usleep(3000);
			_exit(write(v->in, &q, sizeof(q)) != sizeof(q));
		}
		ok &= perf_buffer__poll(pb, 5000) == 1;
		waitpid(pid, NULL, 0);
		ok &= read(v->out, &c, 1) == 1;
		while (perf_buffer__poll(pb, 0) > 0)
			;
	}
	tap_ok(ok, "a sleeping reader is woken every time");
	tap_eq(seen.n, 20, "by 20 events");
	perf_buffer__free(pb);
}

static int output_event(int cpu, __u32 wakeup)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_BPF_OUTPUT, .size = sizeof(a),
				    .sample_type = PERF_SAMPLE_RAW, .sample_period = 1, .wakeup_events = wakeup};

	return (int)syscall(SYS_perf_event_open, &a, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* As BCC does it: own mapping, poll(2) on the descriptors. */
static void test_poll(struct maps_bpf *s, struct victim *v)
{
	struct perf_event_mmap_page *page;
	int map = bpf_map__fd(s->maps.events), fd = output_event(0, 2), again;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	__u32 key = 0, other = 1;
	tap_ok(fd >= 0, "perf_event_open");
	tap_ok(!ioctl(fd, PERF_EVENT_IOC_ENABLE, 0), "enable");
	tap_eq(bpf_map_update_elem(map, &key, &fd, BPF_NOEXIST), -EINVAL, "update with BPF_NOEXIST");
	tap_eq(bpf_map_update_elem(map, &key, &map, 0), -EBADF, "update with a map's descriptor");
	key = 100000;
	tap_eq(bpf_map_update_elem(map, &key, &fd, 0), -E2BIG, "update behind the end");
	tap_eq(bpf_map_delete_elem(map, &key), -E2BIG, "delete behind the end");
	key = 0;
	tap_eq(bpf_map_delete_elem(map, &key), -ENOENT, "delete what is not there");
	tap_eq(bpf_map_update_elem(map, &key, &fd, 0), 0, "update");
	tap_eq(bpf_map_lookup_elem(map, &key, &other), -524, "lookup");
	victim_do(v, OP_PERF, 1, 8, 1);
	tap_eq(s->bss->result, -ENOSPC, "not mapped");
	page = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	tap_ok(page == MAP_FAILED && errno == EINVAL, "mmap: 3 pages of data");
	page = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	tap_ok(page == MAP_FAILED && errno == EINVAL, "mmap: private");
	page = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!tap_ok(page != MAP_FAILED, "mmap: 4 pages of data"))
		return;
	tap_eq(page->data_offset, 4096, "data_offset");
	tap_eq(page->data_size, 4 * 4096, "data_size");
	tap_eq(poll(&p, 1, 0), 0, "poll: nothing");
	victim_do(v, OP_PERF, 1, 8, 1);
	tap_eq(s->bss->result, 0, "output");
	tap_eq(poll(&p, 1, 200), 0, "poll: wakeup_events is 2");
	victim_do(v, OP_PERF, 1, 8, 1);
	tap_ok(poll(&p, 1, 2000) == 1 && p.revents == POLLIN, "poll: the second wakes");
	tap_eq(poll(&p, 1, 50), 0, "poll: said once, though nothing was read");
	again = dup(fd);
	p.fd = again;
	victim_do(v, OP_PERF, 1, 8, 2);
	tap_ok(poll(&p, 1, 2000) == 1 && p.revents == POLLIN, "poll: on a duplicate");
	tap_eq(ioctl(fd, PERF_EVENT_IOC_DISABLE, 0), 0, "disable");
	victim_do(v, OP_PERF, 1, 8, 1);
	tap_eq(s->bss->result, -EOPNOTSUPP, "a disabled event refuses");
	ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	close(fd);
	close(again);
	victim_do(v, OP_PERF, 1, 8, 1);
	tap_eq(s->bss->result, 0, "the map keeps the event");
	victim_do(v, OP_PERF_FLAGS, 1, 0, 1);
	tap_eq(s->bss->result, 0, "an index");
	victim_do(v, OP_PERF_FLAGS, 1, 70000, 1);
	tap_eq(s->bss->result, -E2BIG, "an index behind the end");
	victim_do(v, OP_PERF_FLAGS, 1, 1ull << 32, 1);
	tap_eq(s->bss->result, -EINVAL, "flags");
	tap_eq(bpf_map_delete_elem(map, &key), 0, "delete");
	victim_do(v, OP_PERF, 1, 8, 1);
	tap_eq(s->bss->result, -ENOENT, "deleted");
	munmap(page, 5 * 4096);
}

int main(void)
{
	struct victim v = victim_fork();
	struct maps_bpf *s = maps_bpf__open_and_load();
	const char *syms[] = {"mt_hit"};
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .syms = syms, .cnt = 1);
	struct bpf_link *l;
	cpu_set_t set;

	/* What was lost on a CPU is told by the next event on that CPU. */
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(v.pid, sizeof(set), &set);
	if (!tap_ok(s != NULL, "load"))
		return tap_done();
	l = bpf_program__attach_uprobe_multi(s->progs.on_hit, v.pid, "/proc/self/exe", NULL, &opts);
	if (!tap_ok(l != NULL, "attach"))
		return tap_done();
	test_buffer(s, &v);
	test_sleep(s, &v);
	test_poll(s, &v);
	bpf_link__destroy(l);
	victim_stop(&v);
	maps_bpf__destroy(s);
	return tap_done();
}
