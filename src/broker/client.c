/* SPDX-License-Identifier: MIT */
#include "broker/client.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/bits.h"
#include "util/fd.h"

static int client_copy_error(ssize_t r, size_t n)
{
	if (r == (ssize_t)n)
		return 0;
	if (r < 0 && (errno == ESRCH || errno == EPERM))
		return -errno;
	return -EFAULT;
}

int client_read(struct client *c, u64 addr, void *buf, size_t n)
{
	struct iovec here = {buf, n}, there = {(void *)addr, n};

	if (!n)
		return 0;
	return client_copy_error(process_vm_readv(c->pid, &here, 1, &there, 1, 0), n);
}

int client_write(struct client *c, u64 addr, const void *buf, size_t n)
{
	struct iovec here = {(void *)buf, n}, there = {(void *)addr, n};

	if (!n)
		return 0;
	return client_copy_error(process_vm_writev(c->pid, &here, 1, &there, 1, 0), n);
}

int client_write_all(struct client *c, const struct iovec *here, const struct iovec *there, u32 n)
{
	size_t size = 0;

	for (u32 i = 0; i < n; i++)
		size += here[i].iov_len;
	return client_copy_error(process_vm_writev(c->pid, here, n, there, n, 0), size);
}

long client_read_str(struct client *c, u64 addr, char *buf, size_t n)
{
	size_t done = 0;

	/* Page by page: the string may end right before memory that cannot be read. */
	while (done < n) {
		size_t k = bits_min(n - done, NT_PAGE - ((addr + done) & (NT_PAGE - 1)));
		char *nul;
		int r = client_read(c, addr + done, buf + done, k);

		if (r < 0)
			return r;
		nul = memchr(buf + done, 0, k);
		if (nul)
			return nul - buf;
		done += k;
	}
	return -ENAMETOOLONG;
}

int client_get_fd(struct client *c, int n)
{
	int fd;

	if (n < 0)
		return -EBADF;
	fd = (int)syscall(SYS_pidfd_getfd, c->pidfd, n, 0);
	return fd < 0 ? -errno : fd;
}
