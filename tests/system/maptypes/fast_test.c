/* SPDX-License-Identifier: MIT */
/*
 * Map elements from the loader, in all the ways in which a shortcut could go wrong: bad pointers, closed, duplicated and
 * replaced descriptors, frozen maps, forked children, threads. The same on the kernel and under notrap.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static long bpf(int cmd, union bpf_attr *a, size_t size)
{
	long r = syscall(SYS_bpf, cmd, a, size);

	return r < 0 ? -errno : r;
}

static int make(uint32_t type, uint32_t value, uint32_t max, uint32_t flags)
{
	union bpf_attr a = {.map_type = type};

	a.key_size = 4;
	a.value_size = value;
	a.max_entries = max;
	a.map_flags = flags;
	return (int)bpf(BPF_MAP_CREATE, &a, 72);
}

static long elem(int cmd, int fd, const void *key, const void *value, uint64_t flags)
{
	union bpf_attr a = {0};

	a.map_fd = (uint32_t)fd;
	a.key = (uintptr_t)key;
	a.value = (uintptr_t)value;
	a.flags = flags;
	return bpf(cmd, &a, 32);
}

static uint64_t get(int fd, uint32_t key)
{
	uint64_t v = 0;

	return elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &v, 0) ? ~0ull : v;
}

static long put(int fd, uint32_t key, uint64_t value)
{
	return elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_ANY);
}

static void test_pointers(void)
{
	char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = make(BPF_MAP_TYPE_HASH, 64, 16, 0), many = make(BPF_MAP_TYPE_ARRAY, 8192, 1, 0);
	char value[64] = "text", big[8192] = "large";
	uint32_t key = 1, zero = 0, next;

	mprotect(two + 4096, 4096, PROT_NONE);
	tap_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, value, 0), 0, "update");
	tap_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, two, 0), 0, "lookup into a page");
	tap_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, two + 4096 - 63, 0), -EFAULT, "lookup across its end");
	tap_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, NULL, 0), -EFAULT, "lookup into NULL");
	tap_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, NULL, value, 0), -EFAULT, "key NULL");
	tap_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, two + 4094, value, 0), -EFAULT, "key across the end");
	tap_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, (void *)-8ul, 0), -EFAULT, "lookup at the end of the address space");
	tap_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, (void *)0x800000000000ul, 0), -EFAULT, "update from the kernel's");
	mprotect(two, 4096, PROT_READ);
	tap_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, two, 0), 0, "update from read-only memory");
	usleep(5000);
	tap_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, two, 0), -EFAULT, "lookup into it");
	tap_eq(syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, (void *)16, 32), -1, "a bad attr");
	tap_eq(elem(BPF_MAP_GET_NEXT_KEY, fd, &key, &key, 0), -ENOENT, "next key in place, the last one");
	tap_eq(key, 1, "which leaves it alone");
	key = 77;
	tap_eq(elem(BPF_MAP_GET_NEXT_KEY, fd, &key, &key, 0), 0, "next key in place");
	tap_eq(key, 1, "which is the first");
	tap_eq(elem(BPF_MAP_GET_NEXT_KEY, fd, NULL, &next, 0), 0, "next key of none");
	tap_eq(elem(BPF_MAP_UPDATE_ELEM, many, &zero, big, 0), 0, "a large value");
	memset(big, 0, sizeof(big));
	tap_ok(!elem(BPF_MAP_LOOKUP_ELEM, many, &zero, big, 0) && !strcmp(big, "large"), "and back");
	close(fd);
	close(many);
	munmap(two, 8192);
}

static void test_descriptors(void)
{
	int a = make(BPF_MAP_TYPE_ARRAY, 8, 4, 0), b = make(BPF_MAP_TYPE_ARRAY, 8, 4, 0), c;

	put(a, 0, 11);
	put(b, 0, 22);
	tap_ok(get(a, 0) == 11 && get(b, 0) == 22, "two maps");
	c = dup(a);
	tap_eq(get(c, 0), 11, "a duplicate");
	dup2(b, a);
	tap_eq(get(a, 0), 22, "dup2 of the other over it");
	tap_eq(get(c, 0), 11, "the duplicate is as it was");
	close(a);
	tap_eq(put(a, 0, 1), -EBADF, "closed");
	a = open("/dev/null", O_RDWR);
	tap_eq(put(a, 0, 1), -EINVAL, "another file by that number");
	close(a);
	a = fcntl(c, F_DUPFD, 0);
	tap_eq(get(a, 0), 11, "F_DUPFD");
	/* A close that nobody in the process can see. */
	__asm__ volatile("syscall" : : "a"(SYS_close), "D"(a) : "rcx", "r11", "memory");
	usleep(5000);
	tap_eq(put(a, 0, 1), -EBADF, "closed behind the library's back");
	close(b);
	close(c);
}

static void test_frozen(void)
{
	int fd = make(BPF_MAP_TYPE_HASH, 8, 4, 0), ro = make(BPF_MAP_TYPE_ARRAY, 8, 4, BPF_F_RDONLY_PROG), st;
	int rd = make(BPF_MAP_TYPE_HASH, 8, 4, BPF_F_RDONLY), wr = make(BPF_MAP_TYPE_HASH, 8, 4, BPF_F_WRONLY);
	union bpf_attr a = {0};

	put(fd, 1, 5);
	a.map_fd = (uint32_t)fd;
	if (!fork()) /* by another process */
		_exit(bpf(BPF_MAP_FREEZE, &a, 4) != 0);
	wait(&st);
	tap_eq(st, 0, "a child freezes the map");
	usleep(2000);
	tap_eq(put(fd, 1, 6), -EPERM, "nobody changes it any more");
	tap_eq(get(fd, 1), 5, "but reads it");
	tap_eq(put(ro, 0, 7), 0, "a map that programs may not write: update");
	tap_eq(get(ro, 0), 7, "lookup");
	a.map_fd = (uint32_t)ro;
	tap_eq(bpf(BPF_MAP_FREEZE, &a, 4), 0, "freeze");
	tap_eq(put(ro, 0, 8), -EPERM, "update");
	tap_eq(get(ro, 0), 7, "lookup");
	tap_ok(put(rd, 0, 1) == -EPERM && get(rd, 0) == ~0ull, "BPF_F_RDONLY");
	tap_ok(put(wr, 0, 1) == 0 && get(wr, 0) == ~0ull, "BPF_F_WRONLY");
	close(fd);
	close(ro);
	close(rd);
	close(wr);
}

static void test_fork(void)
{
	int fd = make(BPF_MAP_TYPE_HASH, 8, 64, 0), st;

	put(fd, 0, 1);
	for (uint32_t i = 1; i < 5; i++)
		if (!fork()) {
			long bad = get(fd, 0) != 1;

			for (uint64_t n = 0; n < 2000; n++)
				bad |= put(fd, i, n) || get(fd, i) != n;
			_exit(bad != 0);
		}
	for (int i = 1; i < 5; i++) {
		wait(&st);
		tap_eq(st, 0, "a child reads and writes");
	}
	for (uint32_t i = 1; i < 5; i++)
		tap_eq(get(fd, i), 1999, "and the parent sees it");
	close(fd);
}

static int shared_fd;

static void *worker(void *arg)
{
	uint32_t key = (uint32_t)(uintptr_t)arg;
	long bad = 0;

	for (uint64_t n = 0; n < 5000; n++) {
		bad += put(shared_fd, key, n) || get(shared_fd, key) != n;
		if (n % 16 == 0)
			bad += elem(BPF_MAP_DELETE_ELEM, shared_fd, &key, NULL, 0) != 0;
	}
	return (void *)bad;
}

/* Meanwhile another thread opens and closes other descriptors of the same map. */
static void test_threads(void)
{
	pthread_t t[4];
	long bad = 0;
	void *r;

	shared_fd = make(BPF_MAP_TYPE_HASH, 8, 64, 0);
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, worker, (void *)i);
	for (int i = 0; i < 300; i++) {
		int fd = dup(shared_fd);

		bad += put(fd, 50, (uint64_t)i) || get(fd, 50) != (uint64_t)i;
		close(fd);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		bad += (long)r;
	}
	tap_eq(bad, 0, "4 threads, and one that duplicates and closes");
	close(shared_fd);
}

/* A map lives no longer than somebody has it open: what the library has mapped does not count. */
static void test_lifetime(void)
{
	int fd = make(BPF_MAP_TYPE_ARRAY, 8, 4, 0);
	struct bpf_map_info info = {0};
	union bpf_attr a = {0};

	a.info.bpf_fd = (uint32_t)fd;
	a.info.info_len = sizeof(info);
	a.info.info = (uintptr_t)&info;
	bpf(BPF_OBJ_GET_INFO_BY_FD, &a, 16);
	put(fd, 0, 1);
	get(fd, 0);
	close(fd);
	usleep(700000);
	memset(&a, 0, sizeof(a));
	a.map_id = info.id;
	tap_eq(bpf(BPF_MAP_GET_FD_BY_ID, &a, 12), -ENOENT, "a closed map is gone");
}

int main(void)
{
	if (make(BPF_MAP_TYPE_ARRAY, 8, 1, 0) < 0)
		tap_skip_all("no permission to create maps");
	test_pointers();
	test_descriptors();
	test_frozen();
	test_fork();
	test_threads();
	test_lifetime();
	return tap_done();
}
