/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of BPF objects under everything a process may do with descriptors. Every claim here
 * holds for the kernel too (run as root without notrap to see it), except where it says so.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "loader_calls.h"
#include "tap.h"

static bool under_notrap(void)
{
	return getenv("NOTRAP_FD") != NULL;
}

static uint64_t map_value(long fd)
{
	uint32_t key = 0;
	uint64_t value = 0;

	return call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0) ? ~0ull : value;
}

static long map_with(uint64_t value)
{
	long fd = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE, "fds");
	uint32_t key = 0;

	call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0);
	return fd;
}

static uint32_t object_id(long fd)
{
	struct bpf_map_info info = {}; /* type and id come first for every kind */
	union call_attr t = {};

	t.w[0] = (uint32_t)fd;
	t.w[1] = sizeof(info);
	t.q[1] = (uintptr_t)&info;
	return call_bpf(BPF_OBJ_GET_INFO_BY_FD, &t, 16) ? 0 : info.id;
}

/* The kernel frees maps and programs some time after the last close, so there is patience, and only
 * there. */
static bool id_is_gone(int cmd, uint32_t id)
{
	for (int i = 0; i < 200; i++) {
		union call_attr t = {};
		long fd;

		t.w[0] = id;
		fd = call_bpf(cmd, &t, 16);
		if (fd < 0)
			return errno == ENOENT;
		close((int)fd);
		usleep(10000);
	}
	return false;
}

static void test_duplicates(void)
{
	long fd = map_with(5);
	int d = dup((int)fd), d3 = dup3((int)fd, 100, O_CLOEXEC),
	    df = fcntl((int)fd, F_DUPFD_CLOEXEC, 200);

	tap_ok(fcntl((int)fd, F_GETFD) & FD_CLOEXEC, "a new descriptor is close-on-exec");
	close((int)fd);
	tap_eq(map_value(d), 5, "dup keeps the map alive");
	tap_eq(d3, 100, "dup3 gives the number asked for");
	tap_eq(map_value(d3), 5, "dup3 keeps its identity");
	tap_ok(df >= 200 && map_value(df) == 5, "F_DUPFD_CLOEXEC too");
	tap_eq(syscall(SYS_dup3, d, 101, O_CLOEXEC), 101,
	       "dup3 through syscall(2), as libbpf does");
	tap_eq(map_value(101), 5, "has the map");
	dup2(d, d3);
	tap_eq(map_value(d3), 5, "dup2 over its own duplicate");
	close(d);
	close(d3);
	close(df);
	close(101);
}

/* libbpf >= 1.4: a placeholder memfd gets the map with dup3. */
static void test_placeholder(void)
{
	int placeholder = memfd_create("libbpf-placeholder-fd", MFD_CLOEXEC);
	long fd = map_with(6);

	syscall(SYS_dup3, (int)fd, placeholder, O_CLOEXEC);
	close((int)fd);
	tap_eq(map_value(placeholder), 6, "a placeholder becomes the map");
	close(placeholder);
}

static void test_fork(void)
{
	long fd = map_with(7);
	int status;
	pid_t pid = fork();

	if (!pid) {
		uint32_t key = 0;
		uint64_t value = 8;

		if (map_value(fd) != 7)
			_exit(1);
		if (call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0))
			_exit(2);
		close((int)fd);
		fd = map_with(9);
		_exit(map_value(fd) == 9 ? 0 : 3);
	}
	waitpid(pid, &status, 0);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	       "a forked child uses its parent's map, and makes its own");
	tap_eq(map_value(fd), 8, "the parent sees what the child wrote");
	close((int)fd);
}

static void test_fork_keeps(void)
{
	long prog = call_simple_prog(BPF_PROG_TYPE_KPROBE, 0);
	uint32_t id = object_id(prog);
	union call_attr t = {};
	int go[2], status;
	pid_t pid;
	char c;
	long fd;

	if (pipe(go))
		return;
	pid = fork();
	if (!pid) {
		close(go[1]);
		_exit(read(go[0], &c, 1) != 0);
	}
	close(go[0]);
	close((int)prog);
	t.w[0] = id;
	fd = call_bpf(BPF_PROG_GET_FD_BY_ID, &t, 16);
	tap_ok(id && fd >= 0, "a program lives while a child holds it");
	if (fd >= 0)
		close((int)fd);
	close(go[1]);
	waitpid(pid, &status, 0);
	tap_ok(id_is_gone(BPF_PROG_GET_FD_BY_ID, id), "and is gone when the child is");
}

static void test_scm_rights(void)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} ctl = {};
	struct iovec iov = {"x", 1};
	char byte;
	struct msghdr msg = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl)};
	long fd = map_with(10);
	int pair[2], got;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	ctl.h = (struct cmsghdr){
	    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	*(int *)CMSG_DATA(&ctl.h) = (int)fd;
	sendmsg(pair[0], &msg, 0);
	close((int)fd);
	/* Nobody but the socket has it: long enough for a careless broker to drop it. */
	usleep(1200000);
	iov.iov_base = &byte;
	memset(&ctl, 0, sizeof(ctl));
	recvmsg(pair[1], &msg, 0);
	got = *(int *)CMSG_DATA(&ctl.h);
	tap_eq(map_value(got), 10, "a map survives a trip through a socket");
	close(got);
	close(pair[0]);
	close(pair[1]);
}

static void test_map_lifetime(void)
{
	long fd = map_with(11);
	uint32_t id = object_id(fd);
	uint64_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	union call_attr t = {};
	long again;

	close((int)fd);
	usleep(1200000);
	tap_eq(*p, 11, "a mapping keeps its contents after close");
	t.w[0] = id;
	again = call_bpf(BPF_MAP_GET_FD_BY_ID, &t, 16);
	tap_ok(again >= 0, "a mapped map keeps its id");
	*p = 12;
	tap_eq(map_value(again), 12, "a descriptor by id is the same map");
	munmap(p, 4096);
	close((int)again);
	tap_ok(id_is_gone(BPF_MAP_GET_FD_BY_ID, id), "it is gone after the last close and munmap");
}

static void test_prog_keeps_map(void)
{
	long map = map_with(13);
	struct bpf_insn insns[] = {CALL_LD(1, 1, (int)map), CALL_LD2(0), CALL_MOV(0, 0), CALL_EXIT};
	struct call_load l = {.type = BPF_PROG_TYPE_KPROBE, .insns = insns, .n = 4};
	uint32_t id = object_id(map);
	union call_attr t = {};
	long prog = call_prog_load(&l), fd;

	close((int)map);
	usleep(1200000);
	t.w[0] = id;
	fd = call_bpf(BPF_MAP_GET_FD_BY_ID, &t, 16);
	tap_ok(prog >= 0 && fd >= 0 && map_value(fd) == 13, "a program keeps its map alive");
	close((int)fd);
	close((int)prog);
	tap_ok(id_is_gone(BPF_MAP_GET_FD_BY_ID, id), "and lets it go");
}

static void *thread_work(void *arg)
{
	long bad = 0;

	for (uint64_t i = 1; i <= 100; i++) {
		long fd = map_with(i);

		bad += map_value(fd) != i;
		close((int)fd);
	}
	return (void *)bad;
}

static void on_alarm(int sig)
{
	int saved = errno;

	close(dup(0)); /* what a handler may do */
	errno = saved;
}

static void test_threads_and_signals(void)
{
	const struct itimerval fast = {{0, 500}, {0, 500}}, off = {};
	pthread_t thread[4];
	long bad = 0;
	void *ret;

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &fast, NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, thread_work, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], &ret);
		bad += (long)ret;
	}
	setitimer(ITIMER_REAL, &off, NULL);
	tap_eq(bad, 0, "400 maps from four threads under a storm of signals");
}

static void test_close_everything(void)
{
	long fd;

	for (int i = 3; i < 1024; i++)
		close(i);
	fd = map_with(14);
	tap_eq(map_value(fd), 14, "a loader may close every descriptor it sees");
	close((int)fd);
	syscall(SYS_close_range, 3, ~0u, 0);
	fd = map_with(15);
	tap_eq(map_value(fd), 15, "and a whole range of them");
	tap_eq(fd, 3, "the lowest free number is used, as by the kernel");
	close((int)fd);
}

static void test_errno(void)
{
	long fd;

	errno = 1234;
	fd = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, NULL);
	errno = 1234;
	close((int)fd);
	tap_eq(errno, 1234, "a close that succeeds leaves errno alone");
	tap_ok(close(9999) == -1 && errno == EBADF, "one that fails says why");
}

static int reopen(int fd)
{
	char name[32];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return open(name, O_RDWR | O_CLOEXEC);
}

/* Only under notrap: the test is the producer, which the kernel's read-only mapping does not allow.
 */
static void test_epoll_ring(void)
{
	long ring = call_map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, "ring");
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0x1234}, got = {};
	int behind = reopen((int)ring); /* a file that nobody knows to be a map */
	uint8_t *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, behind, 0);
	uint64_t *cons = (uint64_t *)p, *prod = (uint64_t *)(p + 4096);

	tap_eq(epoll_ctl(ep, EPOLL_CTL_ADD, (int)ring, &ev), 0,
	       "a ring buffer goes into an epoll set");
	tap_ok(epoll_ctl(ep, EPOLL_CTL_ADD, (int)ring, &ev) == -1 && errno == EEXIST, "once");
	tap_eq(epoll_wait(ep, &got, 1, 50), 0, "an empty one does not wake up");
	ev.data.u64 = 0x5678;
	tap_eq(epoll_ctl(ep, EPOLL_CTL_MOD, (int)ring, &ev), 0, "its data can be changed");
	tap_eq(epoll_ctl(ep, EPOLL_CTL_DEL, (int)ring, NULL), 0, "it can be taken out");
	__atomic_store_n(prod, 16, __ATOMIC_RELEASE);
	tap_eq(epoll_ctl(ep, EPOLL_CTL_ADD, (int)ring, &ev), 0, "and put in again");
	tap_eq(epoll_wait(ep, &got, 1, 2000), 1, "with something to read it wakes up");
	tap_eq(got.data.u64, 0x5678, "and says what it was told to");
	tap_eq(epoll_wait(ep, &got, 1, 2000), 1, "again, as long as it is not read");
	__atomic_store_n(cons, 16, __ATOMIC_RELEASE);
	epoll_wait(ep, &got, 1, 50);
	tap_eq(epoll_wait(ep, &got, 1, 100), 0, "and not when it is");
	close((int)ring);
	ring = map_with(1);
	tap_ok(epoll_ctl(ep, EPOLL_CTL_ADD, 0, NULL) == -1, "nonsense stays nonsense");
	close((int)ring);
	close(ep);
	close(behind);
	munmap(p, 8192);
}

int main(void)
{
	if (!under_notrap() && geteuid())
		tap_skip_all("without notrap this needs root");
	test_duplicates();
	test_placeholder();
	test_fork();
	test_fork_keeps();
	test_scm_rights();
	test_map_lifetime();
	test_prog_keeps_map();
	test_threads_and_signals();
	test_errno();
	if (under_notrap())
		test_epoll_ring();
	test_close_everything();
	return tap_done();
}
