/* SPDX-License-Identifier: MIT */
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>

int fd_write_all(int fd, const void *buf, size_t n)
{
	const char *p = buf;

	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

int fd_pread_all(int fd, void *buf, size_t n, u64 off)
{
	char *p = buf;

	while (n) {
		ssize_t k = pread(fd, p, n, (off_t)off);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (!k)
			return -EIO;
		p += k;
		off += (u64)k;
		n -= (size_t)k;
	}
	return 0;
}

long fd_read_text(const char *path, char *buf, size_t n)
{
	int fd fd_auto = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len + 1 < n) {
		ssize_t k = read(fd, buf + len, n - 1 - len);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (!k)
			break;
		len += (size_t)k;
	}
	if (len && buf[len - 1] == '\n')
		len--;
	buf[len] = 0;
	return (long)len;
}
