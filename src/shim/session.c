/* SPDX-License-Identifier: MIT */
#include "shim/session.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/atomic.h"
#include "base/syscall.h"
#include "ipc/ipc.h"
#include "shim/lock.h"

#define HIGH_FD 512

u64 signals_block(void)
{
	u64 all = ~0ull, old = 0;

	sys_call6(__NR_rt_sigprocmask, SIG_SETMASK, (u64)&all, (u64)&old, sizeof(all), 0, 0);
	return old;
}

void signals_restore(u64 old)
{
	sys_call6(__NR_rt_sigprocmask, SIG_SETMASK, (u64)&old, 0, sizeof(old), 0, 0);
}

static u64 fd_ino(int fd)
{
	struct stat st;

	return sys_call3(__NR_fstat, (u64)fd, (u64)&st, 0) < 0 ? 0 : st.st_ino;
}

int session_move_fd(int fd)
{
	s64 high = sys_call3(__NR_fcntl, (u64)fd, F_DUPFD_CLOEXEC, HIGH_FD);

	if (high < 0)
		return fd;
	sys_call3(__NR_close, (u64)fd, 0, 0);
	return (int)high;
}

bool session_owns(const struct session *s, int fd)
{
	return at_load(&s->pid) && fd == at_load(&s->sock) && fd >= 0 &&
	       fd_ino(fd) == at_load(&s->ino);
}

void session_close(struct session *s)
{
	if (s->sock >= 0 && s->ino && fd_ino(s->sock) == s->ino)
		sys_call3(__NR_close, (u64)s->sock, 0, 0);
	s->sock = -1;
	s->ino = 0;
}

/* Yama lets only relatives trace a process (read its memory, take its descriptors), unless it names
 * somebody. */
static void session_allow_broker(int sock)
{
	struct ucred cred;
	u32 len = sizeof(cred);

	if (sys_call6(__NR_getsockopt, (u64)sock, SOL_SOCKET, SO_PEERCRED, (u64)&cred, (u64)&len,
		      0) == 0 &&
	    cred.pid > 0)
		sys_call3(__NR_prctl, PR_SET_PTRACER, (u64)cred.pid, 0);
}

struct nt_request session_request(struct session *s, u32 op, const u64 arg[6])
{
	struct nt_request q = {.op = op, .seq = ++s->seq, .pid = s->pid};

	q.tid = (u32)sys_call3(__NR_gettid, 0, 0, 0);
	for (int i = 0; i < 6; i++)
		q.arg[i] = arg[i];
	return q;
}

static int session_roundtrip(struct session *s, u32 op, const u64 arg[6], struct nt_reply *ret,
			     int *ret_fd)
{
	struct nt_request q = session_request(s, op, arg);

	return ipc_call(s->sock, &q, ret, ret_fd);
}

static int session_open(struct session *s, u32 within_ms)
{
	const char *allow = getenv("NOTRAP_ALLOW_WRITE"), *kernel = getenv("NOTRAP_KERNEL");
	const u64 hello[6] = {NT_WIRE_VERSION, NT_ROLE_SHIM,
			      (allow && *allow == '1' ? NT_HELLO_ALLOW_WRITE : 0) | (kernel && *kernel == '1' ? NT_HELLO_KERNEL : 0)};
	struct nt_reply reply;
	char dir[108];
	int r, fd = -1;

	r = ipc_runtime_dir(dir, sizeof(dir));
	if (!r)
		r = ipc_connect_within(dir, within_ms);
	if (r < 0)
		return r;
	s->sock = session_move_fd(r);
	s->ino = fd_ino(s->sock);
	session_allow_broker(s->sock);
	r = session_roundtrip(s, NT_OP_HELLO, hello, &reply, &fd);
	if (!r && reply.ret < 0)
		r = (int)reply.ret;
	if (r < 0)
		session_close(s);
	return r;
}

int session_ready(struct session *s, u32 within_ms)
{
	u32 pid = (u32)sys_call3(__NR_getpid, 0, 0, 0);

	if (s->pid == pid && s->ino && fd_ino(s->sock) == s->ino)
		return 0;
	if (s->pid && s->pid != pid)
		session_close(s); /* the child's copy of the parent's connection */
	s->pid = pid;
	return session_open(s, within_ms);
}

int session_call(struct session *s, u32 op, const u64 arg[6], struct nt_reply *ret, int *ret_fd)
{
	u64 old = signals_block();
	int r;

	*ret_fd = -1;
	lock_take(&s->lock);
	r = session_ready(s, 0);
	if (!r)
		r = session_roundtrip(s, op, arg, ret, ret_fd);
	if (r < 0 && r != -EMFILE)
		session_close(s);
	lock_drop(&s->lock);
	signals_restore(old);
	return r;
}

static const char *parse_u64(const char *p, u64 *ret)
{
	for (*ret = 0; *p >= '0' && *p <= '9'; p++)
		*ret = *ret * 10 + (u64)(*p - '0');
	return p;
}

void session_adopt(struct session *s, const char *text)
{
	u64 fd, ino;

	if (!text)
		return;
	text = parse_u64(text, &fd);
	if (*text != ':')
		return;
	parse_u64(text + 1, &ino);
	/* A child of the loader has the variable too, but not the descriptor. */
	if (!ino || fd > INT32_MAX || fd_ino((int)fd) != ino)
		return;
	sys_call3(__NR_fcntl, fd, F_SETFD, FD_CLOEXEC);
	session_allow_broker((int)fd);
	s->sock = (int)fd;
	s->ino = ino;
	s->pid = (u32)sys_call3(__NR_getpid, 0, 0, 0);
}
