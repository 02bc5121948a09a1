/* SPDX-License-Identifier: MIT */
/*
 * Completing calls that our stop has cut short.
 *
 * A blocking write() of a megabyte to a pipe returns when all is written. If a stop wakes the writer in its midst, the
 * kernel returns what has been written so far. Programs that have no signal handlers rightly do not expect that.
 * So the thread makes the call again for the rest, in a piece (piece.c), which adds what was done before.
 *
 * Which counts are short because of us?
 *
 *     pipes, stream sockets, terminals   a blocking write, writev, send, sendmsg (sendfile: sockets only), and recv or
 *                                        recvmsg with MSG_WAITALL, return less than asked for only for a signal, an error or
 *                                        the end of the stream. Whether it is one of the latter two, poll(2) tells.
 *     getrandom, /dev/urandom, /dev/zero look for signals at each page
 *     sendmmsg, recvmmsg                 the same in messages. With a time limit that has run out it is not us.
 *     io_uring_enter                     has submitted, and was to wait: it says how many were submitted, as if it had waited
 *
 * read() and readv() return what there is. A vector whose first part was cut in its midst takes two calls: one for the
 * rest of that part, one for the others, whose vector is the end of the program's own.
 *
 * Not done: recvmsg with room for control messages (how much room there was is not known any more), and what low-water marks
 * (SO_RCVLOWAT) and VMIN hold back.
 */
#include "inject/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "inject/x86_64/regs.h"

#define ERESTARTSYS 512
#define ZEROCOPY 0x4000000	 /* MSG_ZEROCOPY */
#define URING_GETEVENTS 1u	 /* IORING_ENTER_GETEVENTS */
#define MMSGHDR 64u		 /* size of struct mmsghdr */
#define MAJOR_MEM 1u
#define MAJOR_TTY 4u
#define MAJOR_PTS 136u
#define MAJOR_PTS_LAST 143u

/*
 * Does the thread stand behind a system call that has returned? Where the kernel has just set up a restart and is
 * interrupted again before it goes to user mode, the thread stands in front of the call, and what looks like a result
 * is the call's number: a write() would seem to have written one byte.
 */
static bool has_returned(struct inject_target *t, const struct inject_thread *th)
{
	u8 code[2 * INJECT_SYSCALL_LEN];

	return !inject_read(t, th->regs.rip - INJECT_SYSCALL_LEN, code, sizeof(code)) &&
	       regs_is_syscall_insn(code) && !regs_is_syscall_insn(code + INJECT_SYSCALL_LEN);
}

/* --- what it is about --- */

static bool is_tty(const struct inject_peer *p)
{
	u32 m = major(p->rdev);

	return S_ISCHR(p->mode) && (m == MAJOR_TTY || (m >= MAJOR_PTS && m <= MAJOR_PTS_LAST));
}

static bool ended(const struct inject_peer *p, bool in)
{
	struct pollfd pf = {.fd = p->fd, .events = in ? POLLRDHUP : 0};

	return poll(&pf, 1, 0) > 0 && pf.revents & (POLLERR | POLLHUP | POLLRDHUP);
}

static bool is_stream(const struct inject_peer *p)
{
	return (S_ISFIFO(p->mode) && !(p->flags & O_DIRECT)) || p->type == SOCK_STREAM || is_tty(p);
}

/* What an interrupted recvmmsg() leaves behind, for the next call to say: the kernel's own number of a restart. Cleared by
 * being asked for. */
static bool left_a_restart(const struct inject_peer *p)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return !ended(p, false) || (!getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len) && err == ERESTARTSYS);
}

enum sort { OUT, OUT_SOCKET, IN, OUT_MESSAGES, IN_MESSAGES, ENDLESS };

static bool takes_all(struct inject_target *t, u64 fd, enum sort sort)
{
	struct inject_peer p;
	bool r;

	if (!inject_peer_open(t, fd, &p))
		return false;
	if (sort == ENDLESS)
		r = S_ISCHR(p.mode) && major(p.rdev) == MAJOR_MEM;
	else if (sort == OUT_MESSAGES || sort == IN_MESSAGES)
		r = (p.type == SOCK_DGRAM || p.type == SOCK_SEQPACKET) && (sort == OUT_MESSAGES || left_a_restart(&p));
	else
		r = (sort == OUT_SOCKET ? p.type == SOCK_STREAM : is_stream(&p)) && !ended(&p, sort == IN);
	r = r && !(p.flags & O_NONBLOCK);
	inject_peer_close(&p);
	return r;
}

/* --- the rest --- */

static bool plan_rest(const struct inject_thread *th, u32 buf, u32 count, u32 unit, struct piece_code *p, struct inject_detour *d)
{
	const struct user_regs_struct *r = &th->regs;
	const u64 a[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}, done = r->rax;

	if (done >= a[count])
		return false;
	memcpy(d->a, a, sizeof(a));
	if (unit)
		d->a[buf] += done * unit;
	d->a[count] -= done;
	d->nr = regs_call(r);
	d->result = -ERESTARTSYS;
	p->kind = PIECE_SUM;
	p->done = (s32)done;
	return true;
}

/* Where in its vector it was cut: the part, and how much of it was done. */
static bool find_cut(struct inject_target *t, u64 vec, u64 n, u64 done, struct iovec *ret_part, u64 *ret_index, u64 *ret_off)
{
	struct iovec *v;
	bool found = false;

	if (!n || n > 1024)
		return false;
	v = malloc(n * sizeof(*v));
	if (v && !inject_read(t, vec, v, n * sizeof(*v)))
		for (u64 i = 0; i < n && !found; i++) {
			found = done < v[i].iov_len;
			*ret_part = v[i];
			*ret_index = i;
			*ret_off = done;
			done -= found ? 0 : v[i].iov_len;
		}
	free(v);
	return found;
}

/* One call for the rest of a part, and one for those behind it. vec, n: the program's vector; flags < 0: writev. */
static bool plan_vector(struct inject_target *t, const struct inject_thread *th, u64 vec, u64 n, long first, struct piece_code *p,
			struct inject_detour *d)
{
	const struct user_regs_struct *r = &th->regs;
	const bool plain = first == SYS_write;
	struct iovec part;
	struct msghdr m = {.msg_iov = NULL};
	u64 i, off, rest[6] = {r->rdi};

	if (!find_cut(t, vec, n, r->rax, &part, &i, &off))
		return false;
	i += off != 0;
	p->kind = PIECE_SUM;
	p->done = (s32)r->rax;
	m.msg_iov = (struct iovec *)vec + i;
	m.msg_iovlen = n - i;
	rest[1] = plain ? vec + i * sizeof(part) : 0;
	rest[2] = plain ? n - i : r->rdx;
	if (!plain) {
		memcpy(d->data, &m, sizeof(m));
		d->data_len = sizeof(m);
	}
	d->result = -ERESTARTSYS;
	if (!off) {
		d->nr = regs_call(r);
		memcpy(d->a, rest, sizeof(rest));
		d->data_arg = plain ? 0 : 2;
		return true;
	}
	d->nr = first;
	memcpy(d->a, (const u64[6]){r->rdi, (u64)part.iov_base + off, part.iov_len - off, plain ? 0 : r->rdx}, sizeof(d->a));
	if (i == n)
		return true;
	p->first = (s32)(part.iov_len - off);
	p->nr2 = regs_call(r);
	memcpy(p->arg2, rest, sizeof(rest));
	d->data_arg2 = plain ? 0 : 2;
	return true;
}

static bool plan_message(struct inject_target *t, const struct inject_thread *th, bool in, struct piece_code *p,
			 struct inject_detour *d)
{
	struct msghdr m;

	if (inject_read(t, th->regs.rsi, &m, sizeof(m)) || (in && m.msg_control))
		return false;
	return plan_vector(t, th, (u64)m.msg_iov, m.msg_iovlen, in ? SYS_recvfrom : SYS_sendto, p, d);
}

static bool time_is_up(struct inject_target *t, u64 at)
{
	struct timespec ts;

	return at && (inject_read(t, at, &ts, sizeof(ts)) || (ts.tv_sec <= 0 && ts.tv_nsec <= 0));
}

/* If it has waited to the end, it finds at once what it has waited for. With a time limit it may not, so it must have been
 * seen asleep in the call. */
static bool plan_ring(struct inject_target *t, const struct inject_thread *th, struct piece_code *p, struct inject_detour *d)
{
	const struct user_regs_struct *r = &th->regs;
	const u64 a[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};

	if (!(r->r10 & URING_GETEVENTS) || !r->rdx || !r->rsi)
		return false;
	if (inject_call_is_limited(t, SYS_io_uring_enter, a) && (th->wait.nr != SYS_io_uring_enter || !th->wait.began_ns))
		return false;
	p->kind = PIECE_WAIT;
	p->done = (s32)r->rax;
	memcpy(d->a, (const u64[6]){r->rdi, 0, r->rdx, r->r10, r->r8, r->r9}, sizeof(d->a));
	d->nr = SYS_io_uring_enter;
	d->result = -ERESTARTSYS;
	return true;
}

static bool plan(struct inject_target *t, const struct inject_thread *th, struct piece_code *p, struct inject_detour *d)
{
	const struct user_regs_struct *r = &th->regs;

	switch (regs_call(r)) {
	case SYS_write: return takes_all(t, r->rdi, OUT) && plan_rest(th, 1, 2, 1, p, d);
	case SYS_writev: return takes_all(t, r->rdi, OUT) && plan_vector(t, th, r->rsi, r->rdx, SYS_write, p, d);
	case SYS_sendfile: return takes_all(t, r->rdi, OUT_SOCKET) && plan_rest(th, 3, 3, 0, p, d);
	case SYS_read: return takes_all(t, r->rdi, ENDLESS) && plan_rest(th, 1, 2, 1, p, d);
	case SYS_getrandom: return plan_rest(th, 0, 1, 1, p, d);
	case SYS_sendto:
		return !(r->r10 & (MSG_DONTWAIT | ZEROCOPY)) && takes_all(t, r->rdi, OUT) && plan_rest(th, 1, 2, 1, p, d);
	case SYS_sendmsg:
		return !(r->rdx & (MSG_DONTWAIT | ZEROCOPY)) && takes_all(t, r->rdi, OUT) && plan_message(t, th, false, p, d);
	case SYS_recvfrom:
		return (r->r10 & (MSG_WAITALL | MSG_DONTWAIT | MSG_PEEK)) == MSG_WAITALL && takes_all(t, r->rdi, IN) &&
		       plan_rest(th, 1, 2, 1, p, d);
	case SYS_recvmsg:
		return (r->rdx & (MSG_WAITALL | MSG_DONTWAIT | MSG_PEEK)) == MSG_WAITALL && takes_all(t, r->rdi, IN) &&
		       plan_message(t, th, true, p, d);
	case SYS_sendmmsg:
		return !(r->r10 & (MSG_DONTWAIT | ZEROCOPY)) && takes_all(t, r->rdi, OUT_MESSAGES) && plan_rest(th, 1, 2, MMSGHDR, p, d);
	case SYS_recvmmsg:
		return !(r->r10 & (MSG_DONTWAIT | MSG_WAITFORONE | MSG_PEEK)) && !time_is_up(t, r->r8) &&
		       takes_all(t, r->rdi, IN_MESSAGES) && plan_rest(th, 1, 2, MMSGHDR, p, d);
	case SYS_io_uring_enter: return plan_ring(t, th, p, d);
	}
	return false;
}

bool inject_finish_plan(struct inject_target *t, const struct inject_thread *th, struct piece_code *p, struct inject_detour *d)
{
	s64 done = regs_result(&th->regs);

	/* Most threads are in no call, or not behind one. */
	return regs_call(&th->regs) >= 0 && done > 0 && done <= INT32_MAX && has_returned(t, th) && plan(t, th, p, d);
}
