/* SPDX-License-Identifier: MIT */
#include "broker/client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

/* "/proc/self" and "/proc/thread-self" name the client, not us: ret_tail is what follows. */
static bool path_is_proc_self(const char *path, const char **ret_tail)
{
	static const char *const self[] = {"/proc/self", "/proc/thread-self"};

	for (size_t i = 0; i < bits_count(self); i++) {
		size_t n = strlen(self[i]);

		if (!strncmp(path, self[i], n) && (path[n] == '/' || !path[n])) {
			*ret_tail = path + n;
			return true;
		}
	}
	return false;
}

static bool client_shares_root(struct client *c)
{
	char name[32];
	struct stat ours, theirs;

	snprintf(name, sizeof(name), "/proc/%d/root", c->pid);
	return stat("/", &ours) == 0 && stat(name, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
	       ours.st_ino == theirs.st_ino;
}

/* An absolute path in a client that lives in another root (chroot, container). */
static int client_open_in_root(struct client *c, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	char name[32];
	int root fd_auto = -1;
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/root", c->pid);
	root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

int client_open_path(struct client *c, const char *path)
{
	const int flags = O_PATH | O_CLOEXEC;
	char name[PATH_MAX + 32];
	const char *tail;
	int cwd fd_auto = -1;
	int fd;

	if (path_is_proc_self(path, &tail)) {
		snprintf(name, sizeof(name), "/proc/%d%s", c->pid, tail);
		fd = open(name, flags);
	} else if (path[0] == '/' && !client_shares_root(c)) {
		return client_open_in_root(c, path);
	} else if (path[0] == '/') {
		fd = open(path, flags);
	} else {
		snprintf(name, sizeof(name), "/proc/%d/cwd", c->pid);
		cwd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (cwd < 0)
			return -errno;
		fd = openat(cwd, path, flags);
	}
	return fd < 0 ? -errno : fd;
}
