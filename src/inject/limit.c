/* SPDX-License-Identifier: MIT */
/*
 * Calls that begin again, and keep their deadline.
 *
 * nanosleep, poll and futex are resumed by the kernel with the time that is left, select and ppoll leave it in the
 * program's memory. The others (epoll_wait, semtimedop, sigtimedwait, io_getevents, io_uring_enter, a socket's SO_RCVTIMEO)
 * would wait for their whole time again. So the thread begins again in a piece (piece.c), with what is left as its limit;
 * the piece knows the deadline, for the next stop. A socket's limit is not an argument: there it waits in ppoll() until the
 * socket is ready, and makes the call then.
 *
 * When did the wait begin? wait.c tells; where it cannot, the whole time counts from the first stop that sees the wait.
 * Never is a limit shorter than it would have been.
 *
 * Not done: connect() of a Unix socket to a listener whose queue is full. poll(2) says that it is ready, so its SO_SNDTIMEO
 * begins afresh.
 */
#include "inject/internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "inject/x86_64/regs.h"

#define ERESTARTNOHAND 514
#define NS 1000000000ull
#define NONE (~0ull)
#define SIGSET 8u /* bytes of the kernel's sigset_t */
#define URING_EXT_ARG (1u << 3)
#define URING_ABS_TIMER (1u << 5)
#define URING_EXT_ARG_REG (1u << 6)

struct uring_arg { /* struct io_uring_getevents_arg */
	u64 sigmask;
	u32 sigmask_size, min_wait_us;
	u64 ts;
};

enum form { MS, TIMESPEC, TIMEVAL, URING, SOCKET };
struct limit {
	long nr;
	u8 form, arg; /* which argument has it */
};

static const struct limit limits[] = {
	{SYS_epoll_wait, MS, 3}, {SYS_epoll_pwait, MS, 3}, {SYS_epoll_pwait2, TIMESPEC, 3}, {SYS_semtimedop, TIMESPEC, 3},
	{SYS_rt_sigtimedwait, TIMESPEC, 2}, {SYS_io_getevents, TIMESPEC, 4}, {SYS_io_pgetevents, TIMESPEC, 4},
	{SYS_io_uring_enter, URING, 4}, {SYS_ppoll, TIMESPEC, 2}, {SYS_pselect6, TIMESPEC, 4}, {SYS_select, TIMEVAL, 4},
	{SYS_read, SOCKET, POLLIN}, {SYS_readv, SOCKET, POLLIN}, {SYS_recvfrom, SOCKET, POLLIN}, {SYS_recvmsg, SOCKET, POLLIN},
	{SYS_recvmmsg, SOCKET, POLLIN}, {SYS_accept, SOCKET, POLLIN}, {SYS_accept4, SOCKET, POLLIN},
	{SYS_write, SOCKET, POLLOUT}, {SYS_writev, SOCKET, POLLOUT}, {SYS_sendto, SOCKET, POLLOUT},
	{SYS_sendmsg, SOCKET, POLLOUT}, {SYS_sendmmsg, SOCKET, POLLOUT}, {SYS_connect, SOCKET, POLLOUT},
};

static const struct limit *find(long nr)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (limits[i].nr == nr)
			return &limits[i];
	return NULL;
}

static u64 from_timespec(struct inject_target *t, u64 at, u64 unit)
{
	s64 ts[2];

	if (!at || inject_read(t, at, ts, sizeof(ts)) || ts[0] < 0 || ts[0] > 1000000000 || ts[1] < 0)
		return NONE;
	return (u64)ts[0] * NS + (u64)ts[1] * unit;
}

static u64 from_socket(struct inject_target *t, u64 fd, bool in)
{
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);
	struct inject_peer p;
	u64 ns = NONE;

	if (!inject_peer_open(t, fd, &p))
		return NONE;
	if (p.type && !getsockopt(p.fd, SOL_SOCKET, in ? SO_RCVTIMEO : SO_SNDTIMEO, &tv, &len) && (tv.tv_sec || tv.tv_usec))
		ns = (u64)tv.tv_sec * NS + (u64)tv.tv_usec * 1000;
	inject_peer_close(&p);
	return ns;
}

/* The limit of a call in nanoseconds; NONE. */
static u64 limit_ns(struct inject_target *t, const struct limit *l, const u64 a[6])
{
	struct uring_arg u;

	switch (l->form) {
	case MS: return (s32)a[l->arg] < 0 ? NONE : (u64)(s32)a[l->arg] * 1000000;
	case TIMESPEC: return from_timespec(t, a[l->arg], 1);
	case TIMEVAL: return from_timespec(t, a[l->arg], 1000);
	case SOCKET: return from_socket(t, a[0], l->arg == POLLIN);
	case URING:
		if (!(a[3] & URING_EXT_ARG) || a[3] & (URING_ABS_TIMER | URING_EXT_ARG_REG) || a[5] != sizeof(u) ||
		    inject_read(t, a[4], &u, sizeof(u)))
			return NONE;
		return from_timespec(t, u.ts, 1);
	}
	return NONE;
}

bool inject_call_is_limited(struct inject_target *t, long nr, const u64 a[6])
{
	const struct limit *l = find(nr);

	return l && limit_ns(t, l, a) != NONE;
}

static void put_rest(u64 rest, u64 unit, u8 *ret)
{
	const s64 ts[2] = {(s64)(rest / NS), (s64)((rest % NS + unit - 1) / unit)};

	memcpy(ret, ts, sizeof(ts));
}

static u64 rest_ms(u64 rest)
{
	return (rest + 999999) / 1000000;
}

static u64 rest_until(u64 deadline)
{
	u64 now = inject_now_ns();

	return deadline > now ? deadline - now : 0;
}

/* Stopped in a piece that keeps a deadline: only the rest is less by now. */
static void shorten(struct inject_target *t, struct inject_thread *th, const struct limit *l, int piece)
{
	u64 rest = rest_until(t->pieces.piece[piece].deadline);
	u8 ts[16];

	if (l->form == MS) {
		th->regs.r10 = rest_ms(rest);
		th->dirty = true;
		return;
	}
	put_rest(rest, l->form == TIMEVAL ? 1000 : 1, ts);
	inject_write(t, inject_piece_data(t, piece), ts, sizeof(ts));
}

/* The socket is waited for in ppoll(pollfd, 1, rest, NULL): behind the rest, as data, is the pollfd. */
static void plan_socket(const struct inject_thread *th, const struct limit *l, u64 rest, struct piece_code *p, struct inject_detour *d)
{
	const struct pollfd pf = {.fd = (int)th->regs.rdi, .events = l->arg};

	put_rest(rest, 1, d->data);
	memcpy(d->data + 16, &pf, sizeof(pf));
	d->data_len = 24;
	memcpy(d->a, (const u64[6]){16, 1, 0, 0, SIGSET, 0}, sizeof(d->a));
	d->data_arg = 1 << 0 | 1 << 2;
	d->nr = SYS_ppoll;
	d->deadline = 0; /* the kernel keeps it from here on */
	p->kind = PIECE_READY;
	p->nr = l->nr;
	p->done = l->nr == SYS_connect ? -EINPROGRESS : -EAGAIN;
}

static void plan_same(struct inject_target *t, const struct limit *l, u64 rest, struct piece_code *p, struct inject_detour *d)
{
	struct uring_arg u = {.ts = 0};

	p->kind = PIECE_KEEP;
	d->nr = l->nr;
	if (l->form == MS) {
		d->a[l->arg] = rest_ms(rest);
		return;
	}
	put_rest(rest, l->form == TIMEVAL ? 1000 : 1, d->data);
	d->data_len = 16;
	if (l->form == URING && !inject_read(t, d->a[l->arg], &u, sizeof(u))) {
		u.ts = 0; /* the rest, at the beginning of the data */
		memcpy(d->data + 16, &u, sizeof(u));
		d->data_len = 16 + sizeof(u);
		d->data_word = 16 + offsetof(struct uring_arg, ts);
	}
	d->a[l->arg] = l->form == URING ? 16 : 0;
	d->data_arg = (u8)(1 << l->arg);
}

bool inject_limit_plan(struct inject_target *t, struct inject_thread *th, struct piece_code *p, struct inject_detour *d)
{
	const struct user_regs_struct *r = &th->regs;
	const u64 a[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
	const struct limit *l = regs_call(r) < 0 ? NULL : find(regs_call(r));
	s64 res = regs_result(r);
	u64 ns, began;
	int piece;

	if (!l || (res != -EINTR && res != -ERESTARTNOHAND))
		return false;
	piece = inject_piece_of(t, th);
	if (piece >= 0 && t->pieces.piece[piece].deadline) {
		shorten(t, th, l, piece);
		return false;
	}
	/* What the kernel keeps itself, it answers with ERESTARTNOHAND; where it cannot, with EINTR. */
	if ((l->nr == SYS_ppoll || l->nr == SYS_pselect6 || l->nr == SYS_select) && !th->repaired)
		return false;
	ns = limit_ns(t, l, a);
	if (ns == NONE)
		return false;
	/* Its time was up before it was told to stop: so that wait has ended, and this is the next one, which had not slept yet. */
	began = th->wait.began_ns;
	if (!began || began + ns <= th->wait.told_ns)
		began = inject_now_ns();
	memcpy(d->a, a, sizeof(a));
	d->result = -ERESTARTNOHAND;
	d->deadline = began + ns;
	if (l->form == SOCKET)
		plan_socket(th, l, rest_until(d->deadline), p, d);
	else
		plan_same(t, l, rest_until(d->deadline), p, d);
	return true;
}
