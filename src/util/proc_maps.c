/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/maps. A broker walks the maps of every process of its user, so a line is parsed by hand, in place, in one
 * pass over a buffer on the stack:
 *     7f0000000000-7f0000001000 r-xp 00002000 08:01 123456    /usr/lib/libx.so
 * The kernel hands out whole lines only up to a page at a time, so a line may end in the next read: the unfinished rest
 * is moved to the front of the buffer. A path is at most a page long before escaping (\012); longer ones are cut.
 *
 * Kernels from 6.11 on answer questions about single mappings (PROCMAP_QUERY), which takes a quarter of the time where only
 * those of code, or at an address, are wanted. Where that fails for any reason the text is read.
 */
#include "util/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/fd.h"

#define MAPS_BUF 20480u

/* struct procmap_query of linux/fs.h, and its flags, for headers that are too old. */
struct map_query {
	u64 size, flags, addr; /* asked */
	u64 start, end, prot, page_size, off, ino;
	u32 dev_major, dev_minor, name_size, build_id_size;
	u64 name, build_id;
};
#define MAP_QUERY _IOWR('f', 17, struct map_query)
enum { Q_READ = 1, Q_WRITE = 2, Q_EXEC = 4, Q_SHARED = 8, Q_OR_NEXT = 16, Q_FILE = 32 };

struct file_filter {
	bool on;
	dev_t dev;
	u64 ino;
};

static const char *parse_hex(const char *p, u64 *ret)
{
	u64 v = 0;

	for (;; p++) {
		u32 c = (u8)*p;

		if (c - '0' <= 9)
			v = v << 4 | (c - '0');
		else if (c - 'a' <= 5)
			v = v << 4 | (c - 'a' + 10);
		else
			break;
	}
	*ret = v;
	return p;
}

/* Parses one NUL terminated line. false: not a line of this format. */
static bool parse_line(const char *p, const char *end, struct proc_map *m)
{
	u64 major, minor;

	p = parse_hex(p, &m->start);
	if (*p++ != '-')
		return false;
	p = parse_hex(p, &m->end);
	if (end - p < 6)
		return false;
	m->prot = (p[1] == 'r' ? PROT_READ : 0) | (p[2] == 'w' ? PROT_WRITE : 0) |
		  (p[3] == 'x' ? PROT_EXEC : 0);
	m->shared = p[4] == 's';
	p = parse_hex(p + 6, &m->off);
	if (*p++ != ' ')
		return false;
	p = parse_hex(p, &major);
	if (*p++ != ':')
		return false;
	p = parse_hex(p, &minor);
	if (*p++ != ' ')
		return false;
	m->dev = makedev((unsigned)major, (unsigned)minor);
	m->ino = 0;
	while (*p >= '0' && *p <= '9')
		m->ino = m->ino * 10 + (u64)(*p++ - '0');
	while (*p == ' ')
		p++;
	m->path = p;
	m->path_len = (u32)(end - p);
	return true;
}

static int walk(int fd, const struct file_filter *f, proc_map_visit *visit, void *arg)
{
	char buf[MAPS_BUF];
	size_t have = 0;

	for (;;) {
		ssize_t n = read(fd, buf + have, sizeof(buf) - have);
		char *line = buf, *nl;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		have += (size_t)n;
		while ((nl = memchr(line, '\n', have - (size_t)(line - buf)))) {
			struct proc_map m;

			*nl = 0;
			if (parse_line(line, nl, &m) &&
			    (!f->on || (m.ino == f->ino && m.dev == f->dev)) && visit(&m, arg))
				return 0;
			line = nl + 1;
		}
		have -= (size_t)(line - buf);
		if (have == sizeof(buf))
			return -EOVERFLOW; /* no line is that long */
		memmove(buf, line, have);
	}
}

static int maps_open(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : errno == ENOENT ? -ESRCH : -errno;
}

/* The mapping at addr, or with Q_OR_NEXT the next one of this kind. 0, -ENOENT there is none, or why it cannot be asked. */
static int map_query(int fd, u64 flags, u64 addr, struct proc_map *ret)
{
	struct map_query q = {.size = sizeof(q), .flags = flags, .addr = addr};

	while (ioctl(fd, MAP_QUERY, &q))
		if (errno != EINTR)
			return -errno;
	*ret = (struct proc_map){.start = q.start, .end = q.end, .off = q.off, .dev = makedev(q.dev_major, q.dev_minor),
				 .ino = q.ino, .shared = q.prot & Q_SHARED, .path = ""};
	ret->prot = (q.prot & Q_READ ? PROT_READ : 0) | (q.prot & Q_WRITE ? PROT_WRITE : 0) | (q.prot & Q_EXEC ? PROT_EXEC : 0);
	return 0;
}

static int maps_walk(pid_t pid, const struct file_filter *f, proc_map_visit *visit, void *arg)
{
	int fd fd_auto = maps_open(pid);

	return fd < 0 ? fd : walk(fd, f, visit, arg);
}

int proc_maps_each(pid_t pid, proc_map_visit *visit, void *arg)
{
	return maps_walk(pid, &(struct file_filter){0}, visit, arg);
}

int proc_maps_of_file(pid_t pid, dev_t dev, u64 ino, proc_map_visit *visit, void *arg)
{
	return maps_walk(pid, &(struct file_filter){.on = true, .dev = dev, .ino = ino}, visit, arg);
}

int proc_code_of_file(pid_t pid, dev_t dev, u64 ino, proc_map_visit *visit, void *arg)
{
	const struct file_filter f = {.on = true, .dev = dev, .ino = ino};
	int fd fd_auto = maps_open(pid);
	struct proc_map m = {.end = 0};
	u32 asked = 0;
	int r = fd < 0 ? fd : 0;

	while (!r) {
		r = map_query(fd, Q_OR_NEXT | Q_FILE | Q_EXEC, m.end, &m);
		if (!r && m.ino == ino && m.dev == dev && visit(&m, arg))
			return 0;
		asked += !r;
	}
	return fd < 0 ? fd : r == -ENOENT || asked ? 0 : walk(fd, &f, visit, arg);
}

struct at_addr {
	u64 addr;
	bool found;
	struct proc_map map;
};

static bool at_visit(const struct proc_map *m, void *arg)
{
	struct at_addr *at = arg;

	if (at->addr < m->start || at->addr >= m->end)
		return m->start > at->addr;
	at->found = true;
	at->map = *m;
	at->map.path = "";
	at->map.path_len = 0;
	return true;
}

int proc_map_at(pid_t pid, u64 addr, struct proc_map *ret)
{
	struct at_addr at = {.addr = addr};
	int fd fd_auto = maps_open(pid);
	int r = fd < 0 ? fd : map_query(fd, 0, addr, ret);

	if (fd < 0 || !r || r == -ENOENT)
		return r;
	r = walk(fd, &(struct file_filter){0}, at_visit, &at);
	if (r)
		return r;
	if (!at.found)
		return -ENOENT;
	*ret = at.map;
	return 0;
}
