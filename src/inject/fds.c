/* SPDX-License-Identifier: MIT */
/*
 * Handing descriptors to a target.
 *
 * The short way, one call: it opens /proc/PID/fd/N, our descriptor. That works where it sees our /proc and may look at us.
 * PID may be somebody else's number in its world, so what it got is compared with what was meant.
 *
 * The way that always works: it makes a socket pair, we take one end out of it (pidfd_getfd(2) asks for no more than the
 * right to trace, which we have) and send SCM_RIGHTS. Across chroots, namespaces and other uids, too.
 */
#include "inject/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH 200u /* SCM_MAX_FD is 253 */

/* One page in the target: arguments and results of its calls. */
struct scratch {
	int pair[2];
	struct msghdr msg;
	struct iovec iov;
	char byte;
	_Alignas(8) char control[CMSG_SPACE(BATCH * sizeof(int))];
};
_Static_assert(sizeof(struct scratch) <= NT_PAGE, "one page");

struct handover {
	struct inject_target *t;
	u64 page;    /* struct scratch in the target */
	int pair[2]; /* its socket pair, in its numbers */
	int sock;    /* our copy of pair[0] */
};

static s64 remote_close(struct inject_target *t, int fd)
{
	return inject_syscall(t, SYS_close, (u64)fd, 0, 0, 0, 0, 0);
}

static int handover_open(struct handover *h)
{
	s64 r = inject_syscall(h->t, SYS_mmap, 0, NT_PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);

	if (r < 0 && r > -4096)
		return (int)r;
	h->page = (u64)r;
	r = inject_syscall(h->t, SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0,
			   h->page + offsetof(struct scratch, pair), 0, 0);
	if (r < 0)
		return (int)r;
	r = inject_read(h->t, h->page + offsetof(struct scratch, pair), h->pair, sizeof(h->pair));
	if (r < 0) {
		h->pair[0] = h->pair[1] = -1;
		return (int)r;
	}
	h->sock = (int)syscall(SYS_pidfd_getfd, h->t->pidfd, h->pair[0], 0);
	return h->sock < 0 ? -errno : 0;
}

static void handover_close(struct handover *h)
{
	for (int i = 0; i < 2; i++)
		if (h->pair[i] >= 0)
			remote_close(h->t, h->pair[i]);
	if (h->page)
		inject_syscall(h->t, SYS_munmap, h->page, NT_PAGE, 0, 0, 0, 0);
	if (h->sock >= 0)
		close(h->sock);
}

static int send_rights(int sock, const int *fd, u32 n)
{
	_Alignas(8) char control[CMSG_SPACE(BATCH * sizeof(int))] = {0};
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fd, n * sizeof(int));
	return sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Receives in the target. *ret_got descriptors arrived there, also when that is fewer than n and the result -EMFILE. */
static int receive_rights(struct handover *h, u32 n, int *remote, u32 *ret_got)
{
	struct scratch s = {0};
	size_t room = CMSG_SPACE(n * sizeof(int));
	struct cmsghdr c;
	s64 r;

	s.msg.msg_iov = (void *)(h->page + offsetof(struct scratch, iov));
	s.msg.msg_iovlen = 1;
	s.msg.msg_control = (void *)(h->page + offsetof(struct scratch, control));
	s.msg.msg_controllen = room;
	s.iov.iov_base = (void *)(h->page + offsetof(struct scratch, byte));
	s.iov.iov_len = 1;
	r = inject_write(h->t, h->page, &s, sizeof(s));
	if (r)
		return (int)r;
	r = inject_syscall(h->t, SYS_recvmsg, (u64)h->pair[1], h->page + offsetof(struct scratch, msg),
			   MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0, 0, 0);
	if (r < 0)
		return (int)r;
	r = inject_read(h->t, h->page, &s, sizeof(s));
	if (r)
		return (int)r;
	memcpy(&c, s.control, sizeof(c));
	if (s.msg.msg_controllen >= CMSG_LEN(sizeof(int)) && c.cmsg_type == SCM_RIGHTS &&
	    c.cmsg_len >= CMSG_LEN(0) && c.cmsg_len <= room) {
		*ret_got = (u32)((c.cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(remote, s.control + CMSG_LEN(0), *ret_got * sizeof(int));
	}
	/* The kernel hands over what fits under the target's limit of open files, and drops the rest. */
	return *ret_got == n ? 0 : -EMFILE;
}

static bool is_same_file(struct inject_target *t, int remote, int fd)
{
	char path[48];
	struct stat theirs, ours;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", t->pid, remote);
	return !stat(path, &theirs) && !fstat(fd, &ours) && theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/* -EXDEV: the short way is no way here. */
static int open_one(struct inject_target *t, int fd, int *ret)
{
	const u64 at = t->haven + INJECT_HAVEN_SIZE - INJECT_HAVEN_TEXT;
	char path[INJECT_HAVEN_TEXT] = "";
	s64 r;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	r = inject_write(t, at, path, sizeof(path));
	if (r)
		return (int)r;
	r = inject_syscall(t, SYS_openat, (u64)AT_FDCWD, at, O_RDWR | O_CLOEXEC, 0, 0, 0);
	if (r < 0)
		return r == -EMFILE || r == -ESRCH ? (int)r : -EXDEV;
	if (!is_same_file(t, (int)r, fd)) {
		remote_close(t, (int)r);
		return -EXDEV;
	}
	*ret = (int)r;
	return 0;
}

static int open_all(struct inject_target *t, const int *fd, u32 n, int *remote)
{
	if (!t->haven || t->seccomp || t->no_open)
		return -EXDEV;
	for (u32 i = 0; i < n; i++) {
		int r = open_one(t, fd[i], &remote[i]);

		if (!r)
			continue;
		while (i--)
			remote_close(t, remote[i]);
		t->no_open = r == -EXDEV;
		return r;
	}
	return 0;
}

static int send_all(struct inject_target *t, const int *fd, u32 n, int *remote)
{
	struct handover h = {.t = t, .pair = {-1, -1}, .sock = -1};
	u32 have = 0;
	int *got, r;

	if (t->willing)
		return inject_willing_send_fds(t, fd, n, remote);
	got = malloc((n + 1) * sizeof(*got));
	if (!got)
		return -ENOMEM;
	r = handover_open(&h);
	while (!r && have < n) {
		u32 batch = n - have < BATCH ? n - have : BATCH, arrived = 0;

		r = send_rights(h.sock, fd + have, batch);
		if (!r)
			r = receive_rights(&h, batch, got + have, &arrived);
		have += arrived;
	}
	handover_close(&h);
	if (!r)
		memcpy(remote, got, n * sizeof(*got));
	for (u32 i = 0; r && i < have; i++)
		remote_close(t, got[i]);
	free(got);
	return r;
}

int inject_send_fds(struct inject_target *t, const int *fd, u32 n, int *remote)
{
	int *got = malloc((n + 1) * sizeof(*got)), r;

	if (!got)
		return -ENOMEM;
	r = open_all(t, fd, n, got);
	if (!r)
		memcpy(remote, got, n * sizeof(*got));
	free(got);
	return r == -EXDEV ? send_all(t, fd, n, remote) : r;
}
