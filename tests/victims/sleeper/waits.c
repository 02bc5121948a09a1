/* SPDX-License-Identifier: MIT */
/* Waiting for time to pass, or for something to be there. */
#include "sleeper.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

static void act_connect(struct waker *w)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(s, (struct sockaddr *)&w->to, sizeof(w->to)))
		victim_wrong("waker: connect: errno %d", errno);
	close(s);
}

static long run_epoll_wait(void)
{
	struct epoll_event ev;
	int e = epoll_create1(EPOLL_CLOEXEC);

	return close2(epoll_wait(e, &ev, 1, WAIT_MS), e, -1);
}

static long run_epoll_wait_event(void)
{
	struct waker w = {.fd = eventfd(0, EFD_CLOEXEC)};
	struct epoll_event ev = {.events = EPOLLIN};
	int e = epoll_create1(EPOLL_CLOEXEC);
	long r;

	epoll_ctl(e, EPOLL_CTL_ADD, w.fd, &ev);
	waker_start(&w, act_write8);
	r = epoll_wait(e, &ev, 1, -1);
	waker_end(&w);
	return close2(r, e, w.fd);
}

static long run_epoll_pwait(void)
{
	struct epoll_event ev;
	sigset_t s = usr1();
	int e = epoll_create1(EPOLL_CLOEXEC);

	return close2(epoll_pwait(e, &ev, 1, WAIT_MS, &s), e, -1);
}

static long run_epoll_pwait2(void)
{
	struct epoll_event ev;
	int e = epoll_create1(EPOLL_CLOEXEC);

	return close2(syscall(SYS_epoll_pwait2, e, &ev, 1, &wait_time, NULL, 0), e, -1);
}

static long run_poll(void)
{
	return poll(NULL, 0, WAIT_MS);
}

static long run_ppoll(void)
{
	sigset_t s = usr1();

	return ppoll(NULL, 0, &wait_time, &s);
}

static long run_select(void)
{
	struct timeval tv = {.tv_usec = WAIT_MS * 1000};

	return select(0, NULL, NULL, NULL, &tv);
}

static long run_pselect(void)
{
	sigset_t s = usr1();

	return pselect(0, NULL, NULL, NULL, &wait_time, &s);
}

static long run_nanosleep(void)
{
	return nanosleep(&wait_time, NULL);
}

static long run_clock_nanosleep_abs(void)
{
	struct timespec ts = later(CLOCK_MONOTONIC);

	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static long run_read_pipe(void)
{
	struct waker w = {0};
	char buf[64];
	int p[2];
	long r;

	if (pipe2(p, O_CLOEXEC))
		return -2;
	w.fd = p[1];
	waker_start(&w, act_write8);
	r = read(p[0], buf, sizeof(buf));
	waker_end(&w);
	return close2(r, p[0], p[1]);
}

static long run_read_eventfd(void)
{
	struct waker w = {.fd = eventfd(0, EFD_CLOEXEC)};
	uint64_t v;
	long r;

	waker_start(&w, act_write8);
	r = read(w.fd, &v, 8);
	waker_end(&w);
	return close2(r, w.fd, -1);
}

static long run_read_timerfd(void)
{
	int f = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct itimerspec it = {.it_value = wait_time};
	uint64_t v;

	timerfd_settime(f, 0, &it, NULL);
	return close2(read(f, &v, 8), f, -1);
}

static long run_accept_timeout(void)
{
	struct sockaddr_in a;
	int s = listener(&a);

	limit(s, SO_RCVTIMEO);
	return close2(accept(s, NULL, NULL), s, -1);
}

static long run_accept(void)
{
	struct waker w = {0};
	int s = listener(&w.to), c;

	waker_start(&w, act_connect);
	c = accept4(s, NULL, NULL, SOCK_CLOEXEC);
	waker_end(&w);
	return close2(c < 0 ? -1 : 0, s, c);
}

static long run_recv(void)
{
	struct waker w = {0};
	char buf[64];
	int v[2];
	long r;

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v);
	w.fd = v[1];
	waker_start(&w, act_write8);
	r = recv(v[0], buf, sizeof(buf), 0);
	waker_end(&w);
	return close2(r, v[0], v[1]);
}

static long run_recv_timeout(void)
{
	char buf[64];
	int v[2];

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v);
	limit(v[0], SO_RCVTIMEO);
	return close2(recv(v[0], buf, sizeof(buf), 0), v[0], v[1]);
}

static pid_t child_that_sleeps(void)
{
	pid_t p = fork();

	if (!p) {
		pause_exactly();
		_exit(0);
	}
	return p;
}

static long run_wait4(void)
{
	pid_t p = child_that_sleeps();

	return waitpid(p, NULL, 0) == p ? 0 : -1;
}

static long run_waitid(void)
{
	siginfo_t si;

	return waitid(P_PID, (id_t)child_that_sleeps(), &si, WEXITED);
}

/* Raw calls, whose time limit the kernel cannot write to. */
static long run_ppoll_const(void)
{
	return syscall(SYS_ppoll, NULL, 0, &wait_time, NULL, 8);
}

static long run_pselect_const(void)
{
	return syscall(SYS_pselect6, 0, NULL, NULL, NULL, &wait_time, NULL);
}

static long run_select_const(void)
{
	static const struct timeval tv = {.tv_usec = WAIT_MS * 1000};

	return syscall(SYS_select, 0, NULL, NULL, NULL, &tv);
}

static long run_send_timeout(void)
{
	static char bytes[65536];
	int v[2];

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v);
	while (send(v[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	limit(v[0], SO_SNDTIMEO);
	return close2(send(v[0], bytes, sizeof(bytes), 0), v[0], v[1]);
}

static long run_nanosleep_raw(void)
{
	return syscall(SYS_nanosleep, &wait_time, NULL);
}

static long run_clock_nanosleep_realtime(void)
{
	return -clock_nanosleep(CLOCK_REALTIME, 0, &wait_time, NULL);
}

static long run_poll_event(void)
{
	struct waker w = {.fd = eventfd(0, EFD_CLOEXEC)};
	struct pollfd p = {.fd = w.fd, .events = POLLIN};
	long r;

	waker_start(&w, act_write8);
	r = poll(&p, 1, -1);
	waker_end(&w);
	return close2(r, w.fd, -1);
}

static void act_touch(struct waker *w)
{
	char path[64];
	int f;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", w->id);
	f = open(path, O_RDWR | O_CLOEXEC);
	if (f < 0 || write(f, "x", 1) != 1)
		victim_wrong("waker: touch: errno %d", errno);
	close(f);
}

static long run_read_inotify(void)
{
	struct waker w = {.fd = inotify_init1(IN_CLOEXEC)};
	char path[] = "/tmp/sleeper-XXXXXX";
	struct inotify_event ev;
	long r;

	w.id = mkostemp(path, O_CLOEXEC);
	if (w.fd < 0 || w.id < 0 || inotify_add_watch(w.fd, path, IN_MODIFY) < 0)
		return -2;
	unlink(path);
	waker_start(&w, act_touch);
	r = read(w.fd, &ev, sizeof(ev));
	waker_end(&w);
	return close2(r, w.fd, w.id);
}

static void act_type(struct waker *w)
{
	if (write(w->fd, "line\n", 5) != 5)
		victim_wrong("waker: type");
}

static long run_read_tty(void)
{
	struct waker w = {.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
	char name[64], buf[64];
	long r;
	int s;

	if (w.fd < 0 || grantpt(w.fd) || unlockpt(w.fd) || ptsname_r(w.fd, name, sizeof(name)))
		return 5; /* not on this system */
	s = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	waker_start(&w, act_type);
	r = read(s, buf, sizeof(buf));
	waker_end(&w);
	return close2(r, s, w.fd);
}

/* A listener, at an address of the kernel's choice, whose queue is full: one more has to wait. */
static int full_listener(struct sockaddr_un *ret, socklen_t *ret_len, int *ret_first)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	*ret_len = sizeof(*ret);
	*ret_first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(s, (struct sockaddr *)ret, sizeof(ret->sun_family)) || listen(s, 0) ||
	    getsockname(s, (struct sockaddr *)ret, ret_len) || connect(*ret_first, (struct sockaddr *)ret, *ret_len))
		victim_wrong("cannot fill a listener: errno %d", errno);
	return s;
}

static void act_accept(struct waker *w)
{
	w->id = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
}

static long run_connect(void)
{
	int first, s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct waker w = {0};
	struct sockaddr_un a;
	socklen_t len;
	long r;

	w.fd = full_listener(&a, &len, &first);
	waker_start(&w, act_accept);
	r = connect(s, (struct sockaddr *)&a, len);
	waker_end(&w);
	close2(0, first, w.id);
	return close2(r, s, w.fd);
}

static long run_connect_timeout(void)
{
	int first, s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), l;
	struct sockaddr_un a;
	socklen_t len;
	long r;

	l = full_listener(&a, &len, &first);
	limit(s, SO_SNDTIMEO);
	r = close2(connect(s, (struct sockaddr *)&a, len), first, l);
	return close2(r, s, -1);
}

static long run_recvmsg_timeout(void)
{
	char buf[64];
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	int v[2];

	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, v);
	limit(v[0], SO_RCVTIMEO);
	return close2(recvmsg(v[0], &m, 0), v[0], v[1]);
}

/* Opening one end of a named pipe waits for the other. */
static void act_open_fifo(struct waker *w)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/sleeper-fifo-%d", (int)getpid());
	w->fd = open(path, O_WRONLY | O_CLOEXEC);
}

static long run_open_fifo(void)
{
	struct waker w = {0};
	char path[64];
	int f;

	snprintf(path, sizeof(path), "/tmp/sleeper-fifo-%d", (int)getpid());
	unlink(path);
	if (mkfifo(path, 0600))
		return -2;
	waker_start(&w, act_open_fifo);
	f = open(path, O_RDONLY | O_CLOEXEC);
	waker_end(&w);
	unlink(path);
	return close2(f < 0 ? -1 : 0, f, w.fd);
}

const struct sleep_case sleep_waits[] = {
	{"epoll_wait", run_epoll_wait, 0, 0, true},
	{"epoll_wait_event", run_epoll_wait_event, 1, 0},
	{"epoll_pwait", run_epoll_pwait, 0, 0, true},
	{"epoll_pwait2", run_epoll_pwait2, 0, 0, true},
	{"poll", run_poll, 0, 0, true},
	{"ppoll", run_ppoll, 0, 0, true},
	{"select", run_select, 0, 0, true},
	{"pselect", run_pselect, 0, 0, true},
	{"nanosleep", run_nanosleep, 0, 0, true},
	{"clock_nanosleep_abs", run_clock_nanosleep_abs, 0, 0, true},
	{"read_pipe", run_read_pipe, 8, 0},
	{"read_eventfd", run_read_eventfd, 8, 0},
	{"read_timerfd", run_read_timerfd, 8, 0, true},
	{"accept_timeout", run_accept_timeout, -1, EAGAIN, true, true},
	{"accept", run_accept, 0, 0},
	{"recv", run_recv, 8, 0},
	{"recv_timeout", run_recv_timeout, -1, EAGAIN, true, true},
	{"wait4", run_wait4, 0, 0, .child = true},
	{"waitid", run_waitid, 0, 0, .child = true},
	{"ppoll_const", run_ppoll_const, 0, 0, true},
	{"pselect_const", run_pselect_const, 0, 0, true},
	{"select_const", run_select_const, 0, 0, true},
	{"send_timeout", run_send_timeout, -1, EAGAIN, true, true},
	{"nanosleep_raw", run_nanosleep_raw, 0, 0, true},
	{"clock_nanosleep_realtime", run_clock_nanosleep_realtime, 0, 0, true},
	{"poll_event", run_poll_event, 1, 0},
	{"read_inotify", run_read_inotify, sizeof(struct inotify_event), 0},
	{"read_tty", run_read_tty, 5, 0},
	{"connect", run_connect, 0, 0},
	{"connect_timeout", run_connect_timeout, -1, EAGAIN}, /* not limited: limit.c says why */
	{"recvmsg_timeout", run_recvmsg_timeout, -1, EAGAIN, true, true},
	{"open_fifo", run_open_fifo, 0, 0},
	{0},
};
