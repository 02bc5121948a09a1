/* SPDX-License-Identifier: MIT */
#include "ipc/ipc.h"

#include <linux/fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/syscall.h"

static s64 read_stat(u32 pid, char *buf, size_t n)
{
	char path[32] = "/proc/", digit[12];
	size_t at = 6, len = 0;
	s64 fd, r;

	do
		digit[len++] = (char)('0' + pid % 10);
	while (pid /= 10);
	while (len)
		path[at++] = digit[--len];
	for (const char *tail = "/stat"; *tail;)
		path[at++] = *tail++;
	path[at] = '\0';
	fd = sys_call6(__NR_openat, (u64)AT_FDCWD, (u64)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return fd;
	r = sys_call3(__NR_read, (u64)fd, (u64)buf, n);
	sys_call3(__NR_close, (u64)fd, 0, 0);
	return r;
}

bool ipc_peer_is_well(int sock)
{
	struct ucred cred = {0};
	u32 len = sizeof(cred);
	char stat[128];
	s64 n;

	if (sys_call6(__NR_getsockopt, (u64)sock, SOL_SOCKET, SO_PEERCRED, (u64)&cred, (u64)&len, 0) || cred.pid <= 0)
		return false;
	n = read_stat((u32)cred.pid, stat, sizeof(stat));
	/* "pid (name) state ...": the name may have parentheses of its own. */
	while (n > 2 && stat[n - 1] != ')')
		n--;
	if (n <= 2 || n + 2 > (s64)sizeof(stat))
		return false;
	return stat[n + 1] != 'T' && stat[n + 1] != 't' && stat[n + 1] != 'Z' && stat[n + 1] != 'X';
}
