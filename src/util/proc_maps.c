/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/maps. A broker walks the maps of every process of its user, so a line is parsed by hand, in place, in one
 * pass over a buffer on the stack:
 *     7f0000000000-7f0000001000 r-xp 00002000 08:01 123456    /usr/lib/libx.so
 * The kernel hands out whole lines only up to a page at a time, so a line may end in the next read: the unfinished rest
 * is moved to the front of the buffer. A path is at most a page long before escaping (\012); longer ones are cut.
 */
#include "util/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAPS_BUF 20480u

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

static int maps_walk(pid_t pid, const struct file_filter *f, proc_map_visit *visit, void *arg)
{
	char path[32];
	int fd, r;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	r = walk(fd, f, visit, arg);
	close(fd);
	return r;
}

int proc_maps_each(pid_t pid, proc_map_visit *visit, void *arg)
{
	return maps_walk(pid, &(struct file_filter){0}, visit, arg);
}

int proc_maps_of_file(pid_t pid, dev_t dev, u64 ino, proc_map_visit *visit, void *arg)
{
	return maps_walk(pid, &(struct file_filter){.on = true, .dev = dev, .ino = ino}, visit, arg);
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
	int r = proc_maps_each(pid, at_visit, &at);

	if (r)
		return r;
	if (!at.found)
		return -ENOENT;
	*ret = at.map;
	return 0;
}
