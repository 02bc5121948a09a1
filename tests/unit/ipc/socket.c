/* SPDX-License-Identifier: MIT */
/* The runtime directory, and packets as honest and dishonest peers send them. */
#include "ipc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

static void test_dir(const char *base)
{
	char dir[256], buf[256], tiny[8];

	snprintf(dir, sizeof(dir), "%s/new", base);
	setenv("NOTRAP_DIR", dir, 1);
	tap_eq(ipc_runtime_dir(buf, sizeof(buf)), 0, "a missing directory is made");
	tap_ok(!strcmp(buf, dir), "it is the one that was asked for");
	tap_eq(ipc_runtime_dir(buf, sizeof(buf)), 0, "an existing one is fine");
	chmod(dir, 0755);
	tap_eq(ipc_runtime_dir(buf, sizeof(buf)), -EPERM, "one that others may enter is not");
	chmod(dir, 0700);
	tap_eq(ipc_runtime_dir(tiny, sizeof(tiny)), -ENAMETOOLONG, "a name that does not fit");
	tap_eq(ipc_connect(dir), -ENOENT, "nobody listens there");
	snprintf(buf, sizeof(buf), "%s/link", base);
	if (symlink(dir, buf))
		tap_ok(false, "symlink");
	setenv("NOTRAP_DIR", buf, 1);
	tap_eq(ipc_runtime_dir(buf, sizeof(buf)), -ENOTDIR, "a symbolic link is not followed");
	unsetenv("NOTRAP_DIR");
	setenv("XDG_RUNTIME_DIR", base, 1);
	tap_eq(ipc_runtime_dir(buf, sizeof(buf)), 0, "XDG_RUNTIME_DIR");
	tap_ok(!strncmp(buf, base, strlen(base)) && !strcmp(buf + strlen(base), "/notrap"),
	       "has a folder of ours");
}

static void test_listen(const char *dir)
{
	int l = ipc_listen(dir), c, fd = -1;
	char byte;

	tap_ok(l >= 0, "listens");
	c = ipc_connect(dir);
	tap_ok(c >= 0, "connects");
	tap_ok(fcntl(c, F_GETFD) & FD_CLOEXEC, "close-on-exec");
	fd = accept(l, NULL, NULL);
	close(c);
	tap_eq(ipc_recv(fd, &byte, 1, &c), 0, "a hang-up is 0");
	close(fd);
	close(l);
	tap_eq(ipc_connect(dir), -ECONNREFUSED, "a dead broker's socket");
	l = ipc_listen(dir);
	tap_ok(l >= 0, "is taken over by the next one");
	close(l);
}

static void test_fds(void)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(3 * sizeof(int))];
	} ctl = {};
	struct iovec iov = {"x", 1};
	struct msghdr msg = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl)};
	int pair[2], got = -1, next;
	char buf[64];

	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
	tap_eq(ipc_send(pair[0], "hello", 5, 0), 0, "sends a descriptor");
	tap_eq(ipc_recv(pair[1], buf, sizeof(buf), &got), 5, "receives it");
	tap_ok(got > 2 && fcntl(got, F_GETFD) == FD_CLOEXEC, "as a new one");
	close(got);
	ipc_send(pair[0], "hello", 5, -1);
	got = 77;
	ipc_recv(pair[1], buf, sizeof(buf), &got);
	tap_eq(got, -1, "none came along");
	ctl.h = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
				 .cmsg_type = SCM_RIGHTS,
				 .cmsg_len = CMSG_LEN(3 * sizeof(int))};
	memset(CMSG_DATA(&ctl.h), 0, 3 * sizeof(int)); /* standard input, three times */
	sendmsg(pair[0], &msg, 0);
	ipc_recv(pair[1], buf, sizeof(buf), &got);
	next = dup(0);
	tap_ok(got >= 0 && next == got + 1, "of three descriptors one is kept, none leaks");
	close(next);
	close(got);
	ipc_send(pair[0], "longer than four bytes", 22, 0);
	got = 77;
	tap_eq(ipc_recv(pair[1], buf, 4, &got), -EMSGSIZE, "a packet that does not fit is refused");
	tap_eq(got, 77, "outputs untouched on failure");
	next = dup(0);
	tap_eq(next, pair[1] + 1, "and its descriptor is closed");
	close(next);
	close(pair[0]);
	close(pair[1]);
}

static int reply_of(const struct nt_reply *rep, size_t n, int *ret_fd)
{
	const struct nt_request q = {.op = NT_OP_SYNC, .seq = 7};
	struct nt_reply got;
	int pair[2], r;

	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
	ipc_send(pair[1], rep, n, -1); /* the answer is there before the question */
	r = ipc_call(pair[0], &q, &got, ret_fd);
	close(pair[0]);
	close(pair[1]);
	return r;
}

static void test_call(void)
{
	struct nt_reply rep = {.seq = 7, .ret = 5, .text_len = 3, .text = "abc"};
	const size_t head = offsetof(struct nt_reply, text);
	int fd = -1;

	tap_eq(reply_of(&rep, head + 3, &fd), 0, "an answer with a text");
	tap_eq(reply_of(&rep, head + 2, &fd), -EPROTO, "a text longer than its packet");
	tap_eq(reply_of(&rep, head - 1, &fd), -EPROTO, "a short answer");
	rep.text_len = 0;
	rep.seq = 8;
	tap_eq(reply_of(&rep, head, &fd), -EPROTO, "an answer to another question");
	rep.seq = 7;
	rep.flags = NT_REPLY_FD;
	tap_eq(reply_of(&rep, head, &fd), -EMFILE, "a promised descriptor that is not there: no room for it");
}

int main(void)
{
	char base[] = "/tmp/notrap-ipc-XXXXXX", dir[64];

	if (!mkdtemp(base))
		return 99;
	test_dir(base);
	snprintf(dir, sizeof(dir), "%s/new", base);
	test_listen(dir);
	test_fds();
	test_call();
	snprintf(dir, sizeof(dir), "rm -rf %s", base);
	return system(dir) ? 99 : tap_done();
}
