/* SPDX-License-Identifier: MIT */
/*
 * Everything here is a raw system call: inside a loader, libc's close() and syscall() are the
 * shim's own, and the loader's errno must not change behind its back.
 */
#include "ipc/ipc.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/syscall.h"

#define SOCKET_NAME "/broker"

static int socket_address(const char *dir, struct sockaddr_un *ret)
{
	size_t n = 0;
	const char *part[] = {dir, SOCKET_NAME};

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	for (int i = 0; i < 2; i++) {
		for (const char *s = part[i]; *s; s++) {
			if (n + 1 >= sizeof(ret->sun_path))
				return -ENAMETOOLONG;
			ret->sun_path[n++] = *s;
		}
	}
	return 0;
}

static int socket_new(void)
{
	return (int)sys_call3(__NR_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static void limit_wait(int sock, int what, u32 ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	sys_call6(__NR_setsockopt, (u64)sock, SOL_SOCKET, (u64)what, (u64)&tv, sizeof(tv), 0);
}

void ipc_answer_within(int sock, u32 ms)
{
	limit_wait(sock, SO_RCVTIMEO, ms);
}

int ipc_connect(const char *dir)
{
	return ipc_connect_within(dir, 0);
}

int ipc_connect_within(const char *dir, u32 ms)
{
	struct sockaddr_un sa;
	int r, fd;

	r = socket_address(dir, &sa);
	if (r < 0)
		return r;
	fd = socket_new();
	if (fd < 0)
		return fd;
	if (ms) {
		limit_wait(fd, SO_SNDTIMEO, ms);
		limit_wait(fd, SO_RCVTIMEO, ms);
	}
	do {
		r = (int)sys_call3(__NR_connect, (u64)fd, (u64)&sa, sizeof(sa));
	} while (r == -EINTR);
	if (r < 0) {
		sys_call3(__NR_close, (u64)fd, 0, 0);
		return r;
	}
	return fd;
}

int ipc_listen(const char *dir)
{
	struct sockaddr_un sa;
	int r, fd;

	r = socket_address(dir, &sa);
	if (r < 0)
		return r;
	fd = socket_new();
	if (fd < 0)
		return fd;
	/* What a dead broker left behind; the caller holds the lock, so it is not a living one's.
	 */
	sys_call3(__NR_unlink, (u64)sa.sun_path, 0, 0);
	r = (int)sys_call3(__NR_bind, (u64)fd, (u64)&sa, sizeof(sa));
	if (!r)
		r = (int)sys_call3(__NR_listen, (u64)fd, 4096, 0); /* many processes may start at once */
	if (r < 0) {
		sys_call3(__NR_close, (u64)fd, 0, 0);
		return r;
	}
	return fd;
}

union fd_control {
	struct cmsghdr h;
	char room[CMSG_SPACE(4 * sizeof(int))];
};

int ipc_send(int sock, const void *buf, size_t n, int fd)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_control ctl = {};
	s64 r;

	if (fd >= 0) {
		ctl.h.cmsg_level = SOL_SOCKET;
		ctl.h.cmsg_type = SCM_RIGHTS;
		ctl.h.cmsg_len = CMSG_LEN(sizeof(int));
		*(int *)CMSG_DATA(&ctl.h) = fd;
		msg.msg_control = &ctl;
		msg.msg_controllen = CMSG_SPACE(sizeof(int));
	}
	do {
		r = sys_call3(__NR_sendmsg, (u64)sock, (u64)&msg, MSG_NOSIGNAL);
	} while (r == -EINTR);
	return r < 0 ? (int)r : 0;
}

/* Keeps the first descriptor of a packet, closes what a hostile peer sent beyond it. */
static int take_fd(struct msghdr *msg)
{
	int fd = -1;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= h->cmsg_len; i++) {
			int got = ((int *)CMSG_DATA(h))[i];

			if (fd < 0)
				fd = got;
			else
				sys_call3(__NR_close, (u64)got, 0, 0);
		}
	}
	return fd;
}

long ipc_recv(int sock, void *buf, size_t n, int *ret_fd)
{
	struct iovec iov = {.iov_base = buf, .iov_len = n};
	union fd_control ctl;
	struct msghdr msg = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl)};
	int fd;
	s64 r;

	do {
		r = sys_call3(__NR_recvmsg, (u64)sock, (u64)&msg, MSG_CMSG_CLOEXEC);
	} while (r == -EINTR);
	if (r < 0)
		return (long)r;
	fd = take_fd(&msg);
	if (msg.msg_flags & MSG_TRUNC) {
		if (fd >= 0)
			sys_call3(__NR_close, (u64)fd, 0, 0);
		return -EMSGSIZE;
	}
	*ret_fd = fd;
	return (long)r;
}

int ipc_call(int sock, const struct nt_request *req, struct nt_reply *rep, int *ret_fd)
{
	int r, fd = -1;
	long n = -EAGAIN;

	r = ipc_send(sock, req, sizeof(*req), -1);
	if (r < 0)
		return r;
	for (u32 i = 0; i < IPC_PATIENCE; i++) {
		n = ipc_recv(sock, rep, sizeof(*rep), &fd);
		if (n != -EAGAIN || !ipc_peer_is_well(sock))
			break;
	}
	if (n < 0)
		return (int)n;
	/* A short reply carries no text; a wrong number means that the two sides have lost each
	 * other. */
	if (n < (long)offsetof(struct nt_reply, text) || rep->seq != req->seq ||
	    rep->text_len > (u64)n - offsetof(struct nt_reply, text)) {
		if (fd >= 0)
			sys_call3(__NR_close, (u64)fd, 0, 0);
		return n ? -EPROTO : -ECONNRESET;
	}
	if (rep->flags & NT_REPLY_FD && fd < 0)
		return -EMFILE; /* no free number here: the kernel has dropped it on the way */
	*ret_fd = fd;
	return 0;
}
