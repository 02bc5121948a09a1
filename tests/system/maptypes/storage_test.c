/* SPDX-License-Identifier: MIT */
/*
 * Task storage and user ring buffers as programs use them and loaders see them, and helpers that take the current task:
 * the same checks on the kernel and under notrap.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "storage.h"
#include "storage.skel.h"
#include "tap.h"
#include "victim.h"

static struct storage_bpf *s;
static struct victim v;

static __s64 hit(__u64 op, __u64 a, __u64 b)
{
	s->bss->result = -12345;
	victim_do(&v, op, a, b, 1);
	return s->bss->result;
}

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Values of a thread that has ended go; the kernel's at once. */
static int gone_in_time(int map, int pidfd)
{
	struct timespec ms100 = {0, 100000000};
	__u64 value;

	for (int i = 0; i < 50; i++) {
		if (bpf_map_lookup_elem(map, &pidfd, &value) == -ENOENT)
			return 1;
		nanosleep(&ms100, NULL);
	}
	return 0;
}

static void test_task_storage(void)
{
	int map = bpf_map__fd(s->maps.small), large = bpf_map__fd(s->maps.large), fd = pidfd_of(v.pid), self = pidfd_of(getpid());
	__u64 value = 0, big[9] = {0};

	tap_eq(hit(OP_COUNT, 5, 0), -1, "task storage: nothing, and not asked to make it");
	tap_eq(hit(OP_COUNT, 5, 2), -1, "task storage: a flag that is none");
	tap_eq(hit(OP_COUNT, 5, 1), 51001, "task storage: made, from zeroes and from an initial value");
	tap_eq(hit(OP_COUNT, 2, 0), 71002, "task storage: there");
	tap_eq(bpf_map_lookup_elem(map, &fd, &value), 0, "task storage: the loader's lookup by pidfd");
	tap_eq(value, 7, "task storage: its value");
	tap_eq(bpf_map_lookup_elem(large, &fd, big), 0, "task storage: a large one");
	tap_ok(big[0] == 1002 && big[8] == 8, "task storage: its values");
	tap_eq(bpf_map_lookup_elem(map, &self, &value), -ENOENT, "task storage: not ours");
	value = 40;
	tap_eq(bpf_map_update_elem(map, &fd, &value, BPF_NOEXIST), -EEXIST, "task storage: BPF_NOEXIST");
	tap_eq(bpf_map_update_elem(map, &self, &value, BPF_EXIST), -ENOENT, "task storage: BPF_EXIST");
	tap_eq(bpf_map_update_elem(map, &self, &value, 0), 0, "task storage: update of ours");
	tap_eq(bpf_map_update_elem(map, &fd, &value, 0), 0, "task storage: update of the victim's");
	tap_eq(hit(OP_COUNT, 2, 0), 421003, "task storage: which the program sees");
	tap_eq(bpf_map_delete_elem(map, &self), 0, "task storage: delete");
	tap_eq(bpf_map_delete_elem(map, &self), -ENOENT, "task storage: delete again");
	tap_eq(hit(OP_FORGET, 0, 0), 0, "task storage: the program's delete");
	tap_eq(hit(OP_FORGET, 0, 0), -ENOENT, "task storage: again");
	tap_eq(hit(OP_COUNT, 1, 1), 11001, "task storage: a new one begins anew");
	tap_eq(bpf_map_get_next_key(map, NULL, &fd), -524, "task storage: has no order");
	tap_eq(bpf_map_lookup_elem(map, &(int){0}, &value), -EBADF, "task storage: standard input is no pidfd");
	tap_eq(bpf_map_lookup_elem(map, &(int){-1}, &value), -EBADF, "task storage: no descriptor");
	close(fd);
	close(self);
}

/* Another process has its own, and it goes with it. */
static void test_end(void)
{
	int map = bpf_map__fd(s->maps.small);
	pid_t pid = fork();
	__u64 value = 77;
	int fd;

	if (!pid) {
		pause();
		_exit(0);
	}
	fd = pidfd_of(pid);
	tap_eq(bpf_map_update_elem(map, &fd, &value, 0), 0, "task storage: of a process that will end");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	tap_ok(gone_in_time(map, fd), "task storage: goes with it");
	close(fd);
}

static void test_create(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);

	tap_eq(bpf_map_create(BPF_MAP_TYPE_TASK_STORAGE, NULL, 4, 8, 0, &opts), -EINVAL, "task storage: without BTF");
	tap_eq(bpf_map_create(BPF_MAP_TYPE_TASK_STORAGE, NULL, 8, 8, 0, &opts), -EINVAL, "task storage: a key of 8 bytes");
	opts.map_flags = 0;
	tap_eq(bpf_map_create(BPF_MAP_TYPE_TASK_STORAGE, NULL, 4, 8, 0, &opts), -EINVAL, "task storage: preallocated");
	tap_eq(bpf_map_create(BPF_MAP_TYPE_USER_RINGBUF, NULL, 0, 0, 4097, NULL), -EINVAL, "user ring buffer: an odd size");
}

static void put(struct user_ring_buffer *rb, __u64 value, __u32 size)
{
	__u64 *p = user_ring_buffer__reserve(rb, size);

	if (!p)
		return;
	*p = value;
	user_ring_buffer__submit(rb, p);
}

/* Rooms that take turns in ending at the ring's end, behind it, and with only the header in front of it. */
static void test_wrap(struct user_ring_buffer *rb)
{
	static const __u32 sizes[] = {8, 24, 40, 8, 56, 1000, 16, 72};
	int bad = 0;

	for (int i = 0; i < 2000; i++) {
		s->bss->sum = 0;
		put(rb, 3, sizes[i % 8]);
		put(rb, 4, sizes[(i / 8) % 8]);
		bad += hit(OP_DRAIN, 0, 0) != 2 || s->bss->sum != 34;
	}
	tap_eq(bad, 0, "user ring buffer: 4000 samples around the end");
}

static void *fill_blocked(void *arg)
{
	struct user_ring_buffer *rb = arg;
	__u64 *p = user_ring_buffer__reserve_blocking(rb, 8, 5000);

	if (p) {
		*p = 6;
		user_ring_buffer__submit(rb, p);
	}
	return p;
}

static void test_blocking(struct user_ring_buffer *rb)
{
	struct timespec ms50 = {0, 50000000}, a, b;
	void *got = NULL;
	pthread_t t;
	int n = 0;

	while (user_ring_buffer__reserve(rb, 1016)) /* left BUSY */
		n++;
	tap_eq(n, 4, "user ring buffer: full");
	tap_eq(hit(OP_DRAIN, 0, 0), 0, "user ring buffer: nothing to drain that is not submitted");
	pthread_create(&t, NULL, fill_blocked, rb);
	nanosleep(&ms50, NULL);
	for (__u64 at = 0; at < 4; at++) { /* submit them behind libbpf's back */
		__u32 *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(s->maps.orders), 4096);
		__u64 *cons = mmap(NULL, 4096, PROT_READ, MAP_SHARED, bpf_map__fd(s->maps.orders), 0);
		__u32 *hdr = page + 1024 + ((*cons + at * 1024) & 4095) / 4;

		*(__u64 *)(void *)(hdr + 2) = 1;
		__atomic_store_n(hdr, 1016, __ATOMIC_RELEASE);
		munmap(page, 3 * 4096);
		munmap(cons, 4096);
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	tap_eq(hit(OP_DRAIN, 0, 0), 4, "user ring buffer: drained");
	pthread_join(t, &got);
	clock_gettime(CLOCK_MONOTONIC, &b);
	tap_ok(got != NULL, "user ring buffer: who waits for room gets it");
	tap_ok((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 2000, "user ring buffer: soon");
	s->bss->sum = 0;
	tap_eq(hit(OP_DRAIN, 0, 0), 1, "user ring buffer: and its sample comes");
	tap_eq(s->bss->sum, 6, "user ring buffer: whole");
}

static void test_user_ring(void)
{
	struct user_ring_buffer *rb = user_ring_buffer__new(bpf_map__fd(s->maps.orders), NULL);
	__u64 *p;

	if (!tap_ok(rb != NULL, "user ring buffer: libbpf has it"))
		return;
	tap_eq(hit(OP_DRAIN, 0, 0), 0, "user ring buffer: empty");
	tap_eq(hit(OP_DRAIN, 0, 1 << 5), -EINVAL, "user ring buffer: flags");
	put(rb, 1, 8);
	put(rb, 2, 8);
	tap_eq(hit(OP_DRAIN, 0, 0), 2, "user ring buffer: two samples");
	tap_eq(s->bss->sum, 12, "user ring buffer: in their order");
	s->bss->sum = 0;
	s->bss->stop_at = 7;
	put(rb, 7, 8);
	put(rb, 8, 8);
	tap_eq(hit(OP_DRAIN, 0, 0), 1, "user ring buffer: the callback stops it");
	tap_eq(hit(OP_DRAIN, 0, 0), 1, "user ring buffer: the rest is still there");
	tap_eq(s->bss->sum, 78, "user ring buffer: nothing came twice");
	put(rb, 5, 8);
	p = user_ring_buffer__reserve(rb, 8);
	user_ring_buffer__discard(rb, p);
	put(rb, 5, 8);
	tap_eq(hit(OP_DRAIN, 0, 0), 2, "user ring buffer: a discarded one is skipped");
	tap_ok(!user_ring_buffer__reserve(rb, 4096) && errno == E2BIG, "user ring buffer: larger than it is");
	test_wrap(rb);
	test_blocking(rb);
	user_ring_buffer__free(rb);
	tap_eq(bpf_map_update_elem(bpf_map__fd(s->maps.orders), &(int){0}, &(int){0}, 0), -EINVAL, "user ring buffer: has no elements");
}

static void test_current_task(void)
{
	__u32 key = 1, cpus = (__u32)libbpf_num_possible_cpus();
	__u64 values[1024];

	for (__u32 i = 0; i < cpus; i++)
		values[i] = 100 + i;
	bpf_map_update_elem(bpf_map__fd(s->maps.percpu), &key, values, 0);
	tap_eq(hit(OP_ON_CPU, 1, 0), 100, "CPU 0's value");
	tap_eq(hit(OP_ON_CPU, 1, cpus - 1), 100 + cpus - 1, "the last CPU's value");
	tap_eq(hit(OP_ON_CPU, 1, cpus), -1, "there is no such CPU");
	tap_eq(hit(OP_ON_CPU, 2, 0), -1, "there is no such element");
	tap_eq(hit(OP_REGS, 1, 2), 1, "bpf_task_pt_regs");
	tap_eq(hit(OP_TASK_STACK, 1, 2), 1, "bpf_get_task_stack");
}

int main(void)
{
	const char *syms[] = {"mt_hit"};
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .syms = syms, .cnt = 1);
	struct bpf_link *l;

	v = victim_fork();
	s = storage_bpf__open_and_load();
	if (!tap_ok(s != NULL, "load"))
		return tap_done();
	l = bpf_program__attach_uprobe_multi(s->progs.on_hit, v.pid, "/proc/self/exe", NULL, &opts);
	if (!tap_ok(l != NULL, "attach"))
		return tap_done();
	test_create();
	test_task_storage();
	test_end();
	test_user_ring();
	test_current_task();
	bpf_link__destroy(l);
	victim_stop(&v);
	storage_bpf__destroy(s);
	return tap_done();
}
