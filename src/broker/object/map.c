/* SPDX-License-Identifier: MIT */
#include "broker/object/map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utlist.h>

#include "base/atomic.h"
#include "broker/broker.h"
#include "broker/client.h"
#include "broker/object/ring.h"
#include "broker/object/slots.h"
#include "broker/object/twin.h"
#include "maps/maps.h"
#include "util/fd.h"
#include "util/proc.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static void map_free(struct object *o)
{
	struct object_map *m = object_to_map(o);

	ring_poll_deinit(m);
	twin_map_free(m);
	object_slots_clear(m);
	object_unref(m->btf);
	if (m->view.base)
		munmap(m->view.base, m->view.size);
	if (m->mem_fd != m->fd)
		fd_closep(&m->mem_fd);
	fd_closep(&m->fd);
	fd_closep(&m->lease_fd);
	free(m);
}

/* Another struct file of the same inode: what a lease counts. */
static int map_reopen(struct object_map *m, int mode)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", m->fd);
	fd = open(name, mode | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int map_make_file(struct object_map *m)
{
	struct stat st;
	int r;

	m->fd = memfd_create("bpf-map", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m->fd < 0)
		return -errno;
	if (ftruncate(m->fd, (off_t)m->view.size) < 0)
		return errno == EFBIG || errno == EINVAL ? -ENOMEM : -errno;
	if (fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0 || fstat(m->fd, &st) < 0)
		return -errno;
	m->dev = st.st_dev;
	m->ino = st.st_ino;
	m->mem_fd = m->fd;
	/* An array that the kernel's programs may write, too: the memfd is its name only. */
	r = m->kernel && m->view.type == BPF_MAP_TYPE_ARRAY && !(m->view.flags & BPF_F_RDONLY_PROG)
		? twin_map_share(m, &m->mem_fd) : 0;
	if (r == -ENOMEM || r == -E2BIG || r == -EPERM)
		return r; /* else it has something that cannot be mapped, a lock: TWIN_OWNER */
	m->view.base =
	    mmap(NULL, m->view.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->mem_fd, 0);
	if (m->view.base == MAP_FAILED) {
		m->view.base = NULL;
		return -ENOMEM;
	}
	/* Nobody but us ever writes what programs may not: no writable mapping but the one above, no write(2). So the
	 * bytes of a frozen map are constants that the verifier may rely on. */
	if (m->view.flags & BPF_F_RDONLY_PROG && fcntl(m->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0)
		return -errno;
	r = map_reopen(m, O_RDWR);
	if (r < 0)
		return r;
	m->lease_fd = r;
	return 0;
}

int object_map_new(struct broker *b, const struct object_map *from, struct object_map **ret)
{
	struct object_map *m = malloc(sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	*m = *from;
	m->fd = m->mem_fd = m->lease_fd = m->pollable_fd = -1;
	if (m->btf)
		object_ref(m->btf);
	object_init(&m->obj, b, OBJECT_MAP, map_free);
	m->view.id = m->obj.id;
	r = map_make_file(m);
	if (!r)
		r = map_init(&m->view);
	if (r < 0) {
		object_unref(&m->obj);
		return r;
	}
	*ret = m;
	return 0;
}

struct map_writers {
	u64 size;
	bool found;
};

static bool map_visit_writable(const struct proc_map *p, void *arg)
{
	struct map_writers *w = arg;

	w->found = p->shared && p->prot & PROT_WRITE && p->off + (p->end - p->start) <= w->size;
	return w->found;
}

/*
 * bpf_map_write_active(): the kernel counts the writable mappings of a map. Here the loaders that are connected are
 * looked at; what a child inherited from one that is gone is not seen.
 */
static bool map_is_mapped_writable(struct object_map *m)
{
	struct map_writers w = {.size = m->view.size};
	struct client *c;

	if (m->view.flags & BPF_F_RDONLY_PROG)
		return false;
	DL_FOREACH(m->obj.broker->clients, c)
	{
		if (!w.found)
			proc_maps_of_file(c->pid, m->dev, m->ino, map_visit_writable, &w);
	}
	return w.found;
}

int object_map_freeze(struct object_map *m)
{
	if (m->frozen)
		return -EPERM;
	if (map_is_mapped_writable(m))
		return -EBUSY;
	m->frozen = true;
	twin_map_frozen(m);
	object_map_news_tell(m->obj.broker);
	return 0;
}

void object_map_news_tell(struct broker *b)
{
	if (b->news.counter)
		at_add(b->news.counter, 1ull);
}

int object_map_news(struct broker *b)
{
	void *page;
	int fd;

	if (b->news.counter)
		return b->news.fd;
	fd = memfd_create("bpf-news", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	page = ftruncate(fd, NT_PAGE) < 0 ? MAP_FAILED : mmap(NULL, NT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) < 0) {
		if (page != MAP_FAILED)
			munmap(page, NT_PAGE);
		close(fd);
		return -ENOMEM;
	}
	b->news.fd = fd;
	b->news.counter = page;
	*b->news.counter = 1;
	return fd;
}

void object_map_news_free(struct broker *b)
{
	if (!b->news.counter)
		return;
	munmap(b->news.counter, NT_PAGE);
	close(b->news.fd);
	b->news.counter = NULL;
}

int object_map_give(struct object_map *m, int mode)
{
	int fd = map_reopen(m, mode);

	if (fd >= 0 && !m->held) {
		m->held = true;
		object_ref(&m->obj);
	}
	return fd;
}

/* A write lease is granted when ours is the only counted struct file. */
static bool map_is_open_elsewhere(struct object_map *m)
{
	if (fcntl(m->lease_fd, F_SETLEASE, F_WRLCK) < 0)
		return errno == EAGAIN;
	fcntl(m->lease_fd, F_SETLEASE, F_UNLCK);
	return false;
}

static bool thread_is_gone(u32 tid, void *arg)
{
	u64 start;

	return proc_start_time((pid_t)tid, &start) == -ESRCH;
}

/* Values of threads that have ended. Of other pid namespaces nobody here knows who is alive. */
static void map_reap_tasks(struct broker *b, struct object_map *m)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) == 0)
		map_task_reap(&m->view, &b->caller, st.st_ino, thread_is_gone, NULL);
}

void object_map_reap(struct broker *b)
{
	struct object *o, *tmp;

	/* Freeing a map frees at most its BTF besides, never another map: the walk stays valid. */
	HASH_ITER(hh, b->objects.by_id[OBJECT_MAP], o, tmp)
	{
		struct object_map *m = object_to_map(o);

		if (m->view.type == BPF_MAP_TYPE_TASK_STORAGE)
			map_reap_tasks(b, m);
		if (m->held && !map_is_open_elsewhere(m)) {
			m->held = false;
			object_unref(o);
		}
	}
}
