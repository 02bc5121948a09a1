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

static int shared_file(size_t size, int *ret_fd, void **ret_mem)
{
	int fd fd_auto = memfd_create("notrap-gates", MFD_CLOEXEC | MFD_ALLOW_SEALING);
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

int shared_init(struct shared *s)
{
	struct nt_map_view trace = { .type = BPF_MAP_TYPE_RINGBUF, .max_entries = TRACE_RING_SIZE, .ncpus = 1 };
	struct stat st;
	void *mem = NULL;
	int r = map_geometry(&trace);

	*s = (struct shared){ .fd = -1 };
	if (r)
		return r;
	s->size = GATES_SIZE + NT_PAGE + trace.size + STATS_SIZE;
	r = shared_file(s->size, &s->fd, &mem);
	if (r)
		return r;
	s->gates = mem;
	if (fstat(s->fd, &st) < 0)
		return -errno;
	s->ino = st.st_ino;
	s->gates[GATE_OWNER] = (u32)getpid();
	s->bell = (void *)((u8 *)mem + GATES_SIZE);
	s->bell->owner_pid = (u32)getpid();
	r = proc_start_time(getpid(), &s->bell->owner_start);
	if (r)
		return r;
	trace.base = (u8 *)mem + GATES_SIZE + NT_PAGE;
	s->trace = trace;
	s->stats = (void *)(trace.base + trace.size);
	return map_init(&s->trace);
}

void shared_deinit(struct shared *s)
{
	if (s->gates)
		munmap(s->gates, s->size);
	fd_closep(&s->fd);
}
