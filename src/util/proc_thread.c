/* SPDX-License-Identifier: MIT */
/* What is known about single threads. */
#include "util/proc.h"

#include <fcntl.h>
#include <string.h>

#include "util/fd.h"
#include "util/proc_read.h"

int proc_thread_state(pid_t pid, pid_t tid, char *ret)
{
	int fd fd_auto = proc_open(O_RDONLY, "/proc/%d/task/%d/stat", pid, tid);
	char buf[1024];
	const char *p = NULL;
	int r = proc_stat_tail(fd, buf, sizeof(buf), &p);

	if (!r)
		*ret = *p;
	return r;
}

/* "running", "-1 SP PC", or "NR ARG... SP PC" */
static int read_call(pid_t pid, pid_t tid, char *buf, size_t cap)
{
	int fd fd_auto = proc_open(O_RDONLY, "/proc/%d/task/%d/syscall", pid, tid);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = proc_read_text(fd, buf, cap);
	return n < 0 ? (int)n : 0;
}

int proc_thread_where(pid_t pid, pid_t tid, long *ret_nr, u64 *ret_pc)
{
	char buf[256];
	const char *p = buf, *last;
	int r = read_call(pid, tid, buf, sizeof(buf));

	if (r)
		return r;
	last = strrchr(buf, ' ');
	if (*p < '0' || *p > '9' || !last || last[1] != '0' || last[2] != 'x')
		return -EAGAIN;
	last += 3;
	*ret_nr = (long)proc_dec(&p);
	*ret_pc = proc_hex(&last);
	return 0;
}

int proc_thread_call(pid_t pid, pid_t tid, long *ret_nr)
{
	char buf[256];
	const char *p = buf;
	int r = read_call(pid, tid, buf, sizeof(buf));

	if (r)
		return r;
	if (*p == '-')
		*ret_nr = PROC_NO_CALL;
	else if (*p >= '0' && *p <= '9')
		*ret_nr = (long)proc_dec(&p);
	else
		*ret_nr = PROC_RUNNING;
	return 0;
}

int proc_thread_ran(pid_t pid, pid_t tid, u64 *ret_ns)
{
	int fd fd_auto = proc_open(O_RDONLY, "/proc/%d/task/%d/schedstat", pid, tid);
	char buf[128];
	const char *p = buf;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = proc_read_text(fd, buf, sizeof(buf));
	if (n <= 0)
		return n ? (int)n : -ESRCH;
	*ret_ns = proc_dec(&p);
	return 0;
}
