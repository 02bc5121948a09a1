/* SPDX-License-Identifier: MIT */
#include "util/proc_read.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int proc_open(int flags, const char *fmt, ...)
{
	char path[64];
	va_list ap;
	int fd;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? proc_gone(errno) : fd;
}

ssize_t proc_read_text(int fd, char *buf, size_t cap)
{
	size_t n = 0;

	while (n < cap - 1) {
		ssize_t r = read(fd, buf + n, cap - 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return proc_gone(errno);
		if (r == 0)
			break;
		n += (size_t)r;
	}
	buf[n] = 0;
	return (ssize_t)n;
}

/* comm itself may contain spaces and parentheses. */
int proc_stat_tail(int fd, char *buf, size_t cap, const char **ret)
{
	const char *p;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = proc_read_text(fd, buf, cap);
	if (n < 0)
		return (int)n;
	p = strrchr(buf, ')');
	if (!p || p[1] != ' ')
		return -ESRCH;
	*ret = p + 2;
	return 0;
}
