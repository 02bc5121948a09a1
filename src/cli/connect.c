/* SPDX-License-Identifier: MIT */
#include "cli/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ipc/ipc.h"

#define START_POLL_MS 5
#define START_AGAIN_MS                                                                             \
	250 /* a broker on its way out holds the lock: then the new one leaves, and we try again   \
	     */
#define START_LIMIT_MS 5000

static s64 broker_request(int sock, const struct nt_request *q, int *ret_fd)
{
	struct nt_reply reply;
	int r = ipc_call(sock, q, &reply, ret_fd);

	return r < 0 ? r : reply.ret;
}

s64 broker_ask(int sock, u32 op, u64 arg0, int *ret_fd)
{
	const struct nt_request q = {
	    .op = op, .seq = 2, .pid = (u32)getpid(), .tid = (u32)gettid(), .arg = {arg0}};

	*ret_fd = -1;
	return broker_request(sock, &q, ret_fd);
}

int broker_connect(u32 role)
{
	const struct nt_request q = {
	    .op = NT_OP_HELLO,
	    .seq = 1,
	    .pid = (u32)getpid(),
	    .tid = (u32)gettid(),
	    .arg = {NT_WIRE_VERSION, role},
	};
	char dir[512];
	int sock, fd = -1, r;
	s64 ret;

	r = ipc_runtime_dir(dir, sizeof(dir));
	if (r < 0)
		return r;
	sock = ipc_connect(dir);
	if (sock < 0)
		return sock;
	ret = broker_request(sock, &q, &fd);
	if (fd >= 0)
		close(fd);
	if (ret == NT_WIRE_VERSION)
		return sock;
	close(sock);
	return ret < 0 ? (int)ret : -EPROTO;
}

bool broker_is_absent(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -ECONNRESET || err == -EPIPE;
}

/* A grandchild: the loader that we are about to become must not find a child that it does not know.
 */
static int broker_spawn(const char *notrapd)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		pid = fork();
		if (pid)
			_exit(pid < 0 ? 1 : 0);
		/* Pipes of our caller must not stay open for as long as the broker lives. */
		syscall(SYS_close_range, 3, ~0u, 0);
		execl(notrapd, "notrapd", (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EAGAIN;
}

int broker_start(const char *notrapd, u32 role)
{
	const struct timespec pause = {.tv_nsec = START_POLL_MS * 1000000};
	int sock = broker_connect(role);

	for (int ms = 0; broker_is_absent(sock) && ms < START_LIMIT_MS; ms += START_POLL_MS) {
		int r = ms % START_AGAIN_MS ? 0 : broker_spawn(notrapd);

		if (r < 0)
			return r;
		nanosleep(&pause, NULL);
		sock = broker_connect(role);
	}
	return broker_is_absent(sock) ? -ETIMEDOUT : sock;
}
