/* SPDX-License-Identifier: MIT */
#include "cli/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ipc/ipc.h"

#define START_POLL_MS 5
#define START_POLL_MAX_MS 80
#define START_AGAIN_MS 250 /* one on its way out holds the lock: the new one leaves, we try again */
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
	const char *allow = getenv("NOTRAP_ALLOW_WRITE"), *kernel = getenv("NOTRAP_KERNEL");
	const struct nt_request q = {
	    .op = NT_OP_HELLO,
	    .seq = 1,
	    .pid = (u32)getpid(),
	    .tid = (u32)gettid(),
	    .arg = {NT_WIRE_VERSION, role, (allow && *allow == '1' ? NT_HELLO_ALLOW_WRITE : 0) |
								 (kernel && *kernel == '1' ? NT_HELLO_KERNEL : 0)},
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

const char *broker_error(int err)
{
	return err == -EPROTO ? "it is of another version; `notrap stop -a` ends it, and detaches what it has attached" : strerror(-err);
}

int broker_pid(void)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char dir[512];
	int r = ipc_runtime_dir(dir, sizeof(dir)), sock;

	if (r < 0)
		return r;
	sock = ipc_connect(dir);
	if (sock < 0)
		return sock;
	r = getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ? -errno : cred.pid;
	close(sock);
	return r;
}

bool broker_is_absent(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -ECONNRESET || err == -EPIPE;
}

/* In the grandchild. Pipes of our caller must not stay open for as long as the broker lives. */
__attribute__((noreturn)) static void broker_exec(const char *notrapd, int report)
{
	int err;

	if (report == 3)
		fcntl(report, F_SETFD, 0);
	else
		dup2(report, 3);
	syscall(SYS_close_range, 4, ~0u, 0);
	execl(notrapd, "notrapd", "-s", (char *)NULL);
	err = -errno;
	if (write(3, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

/* 0 when it is ready, or has found another one and left; else why it did not start. */
static int broker_await(int report)
{
	struct pollfd p = {.fd = report, .events = POLLIN};
	int err = 0;

	if (poll(&p, 1, START_LIMIT_MS) <= 0)
		return -ETIMEDOUT;
	return read(report, &err, sizeof(err)) == sizeof(err) && err < 0 ? err : 0;
}

/* A grandchild: the loader that we are about to become must not find a child that it does not know.
 */
static int broker_spawn(const char *notrapd)
{
	int status, r, report[2];
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (!pid) {
		pid = fork();
		if (pid)
			_exit(pid < 0 ? 1 : 0);
		broker_exec(notrapd, report[1]);
	}
	r = pid < 0 ? -errno : 0;
	close(report[1]);
	while (!r && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			r = -errno;
	if (!r && (!WIFEXITED(status) || WEXITSTATUS(status)))
		r = -EAGAIN;
	if (!r)
		r = broker_await(report[0]);
	close(report[0]);
	return r;
}

int broker_start(const char *notrapd, u32 role)
{
	int sock = broker_connect(role), pause_ms = START_POLL_MS, again = 0;

	for (int ms = 0; broker_is_absent(sock) && ms < START_LIMIT_MS; ms += pause_ms) {
		if (ms >= again) {
			int r = broker_spawn(notrapd);

			if (r < 0)
				return r;
			again = ms + START_AGAIN_MS;
		}
		nanosleep(&(struct timespec){.tv_nsec = pause_ms * 1000000}, NULL);
		if (ms > 20 * pause_ms && pause_ms < START_POLL_MAX_MS)
			pause_ms *= 2; /* it may be out of descriptors: no need to ask all the time */
		sock = broker_connect(role);
	}
	return sock == -ENOENT || sock == -ECONNREFUSED ? -ETIMEDOUT : sock;
}
