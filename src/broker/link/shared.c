/* SPDX-License-Identifier: MIT */
#include "broker/link/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "maps/maps.h"
#include "util/fd.h"
#include "util/proc.h"

u64 engine_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static int shared_file(const char *name, size_t size, int *ret_fd, void **ret_mem)
{
	int fd fd_auto = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *mem;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return -errno;
	*ret_fd = fd_steal(&fd);
	*ret_mem = mem;
	return 0;
}

static int shared_trace(struct shared *s)
{
	struct nt_map_view v = { .type = BPF_MAP_TYPE_RINGBUF, .max_entries = TRACE_RING_SIZE, .ncpus = 1 };
	void *mem;
	int r;

	r = map_geometry(&v);
	if (r)
		return r;
	r = shared_file("notrap-trace", v.size, &s->trace_fd, &mem);
	if (r)
		return r;
	v.base = mem;
	s->trace = v;
	return map_init(&s->trace);
}

int shared_init(struct shared *s)
{
	struct stat st;
	void *mem;
	int r;

	*s = (struct shared){ .gates_fd = -1, .bell_fd = -1, .trace_fd = -1, .stats_fd = -1 };
	r = shared_file("notrap-gates", GATES_SIZE, &s->gates_fd, &mem);
	if (r)
		return r;
	s->gates = mem;
	if (fstat(s->gates_fd, &st) < 0)
		return -errno;
	s->gates_ino = st.st_ino;
	s->gates[GATE_OWNER] = (u32)getpid();
	r = shared_file("notrap-bell", NT_PAGE, &s->bell_fd, &mem);
	if (r)
		return r;
	s->bell = mem;
	s->bell->owner_pid = (u32)getpid();
	r = proc_start_time(getpid(), &s->bell->owner_start);
	if (r)
		return r;
	r = shared_file("notrap-stats", STATS_SIZE, &s->stats_fd, &mem);
	if (r)
		return r;
	s->stats = mem;
	return shared_trace(s);
}

void shared_deinit(struct shared *s)
{
	if (s->gates)
		munmap(s->gates, GATES_SIZE);
	if (s->bell)
		munmap(s->bell, NT_PAGE);
	if (s->stats)
		munmap(s->stats, STATS_SIZE);
	if (s->trace.base)
		munmap(s->trace.base, s->trace.size);
	fd_closep(&s->gates_fd);
	fd_closep(&s->bell_fd);
	fd_closep(&s->trace_fd);
	fd_closep(&s->stats_fd);
}
