/* SPDX-License-Identifier: MIT */
/* Calls that could come back with a part of what was asked for. */
#include "sleeper.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>

static void act_write5000(struct waker *w)
{
	static const char bytes[5000];

	for (size_t done = 0; done < sizeof(bytes);) {
		ssize_t n = write(w->fd, bytes + done, sizeof(bytes) - done);

		if (n <= 0)
			victim_wrong("waker: write");
		done += (size_t)n;
	}
}

static long run_recv_waitall(void)
{
	struct waker w = {0};
	char buf[5003];
	int v[2];
	long r;

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v);
	w.fd = v[1];
	if (write(v[1], "abc", 3) != 3)
		return -2;
	waker_start(&w, act_write5000);
	r = recv(v[0], buf, sizeof(buf), MSG_WAITALL);
	waker_end(&w);
	return close2(r, v[0], v[1]);
}

static long run_write_pipe(void)
{
	struct waker w = {0};
	uint32_t *data = big_data();
	int p[2];
	long r;

	if (!data || pipe2(p, O_CLOEXEC))
		return -2;
	w.fd = p[0];
	waker_start(&w, act_drain);
	r = write(p[1], data, BIG);
	if (r != BIG)
		victim_wrong("write_pipe: %ld of %u", r, BIG);
	waker_end(&w);
	free(data);
	return close2(r, p[0], p[1]);
}

static void act_drain_and_signal(struct waker *w)
{
	for (int i = 0; i < 5; i++) {
		usleep(2000);
		pthread_kill(w->waiter, SIGUSR2);
	}
	act_drain(w);
}

/* With a handler in between, short counts and EINTR are right; bytes lost or doubled are not. */
static long run_write_pipe_signal(void)
{
	struct waker w = {0};
	uint32_t *data = big_data();
	size_t done = 0;
	int p[2];

	if (!data || pipe2(p, O_CLOEXEC))
		return -2;
	w.fd = p[0];
	waker_start(&w, act_drain_and_signal);
	while (done < BIG) {
		ssize_t n = write(p[1], (char *)data + done, BIG - done);

		if (n < 0 && errno != EINTR)
			victim_wrong("write_pipe_signal: errno %d", errno);
		done += n > 0 ? (size_t)n : 0;
		if (done > BIG)
			victim_wrong("write_pipe_signal: %zd after %zu", n, done);
	}
	waker_end(&w);
	free(data);
	return close2((long)done, p[0], p[1]);
}

static long run_send_unix(void)
{
	struct waker w = {0};
	uint32_t *data = big_data();
	int v[2];
	long r;

	if (!data || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v))
		return -2;
	w.fd = v[1];
	waker_start(&w, act_drain);
	r = send(v[0], data, BIG, 0);
	if (r != BIG)
		victim_wrong("send_unix: %ld of %u", r, BIG);
	waker_end(&w);
	free(data);
	return close2(r, v[0], v[1]);
}

/* Parts of odd sizes, one of them empty. */
static int cut_up(uint32_t *data, struct iovec v[5])
{
	const size_t len[5] = {100001, 0, 7, 500000, BIG - 600008};
	char *p = (char *)data;

	for (int i = 0; i < 5; p += len[i++])
		v[i] = (struct iovec){.iov_base = p, .iov_len = len[i]};
	return 5;
}

static long run_writev_pipe(void)
{
	struct waker w = {0};
	uint32_t *data = big_data();
	struct iovec v[5];
	int p[2];
	long r;

	if (!data || pipe2(p, O_CLOEXEC))
		return -2;
	w.fd = p[0];
	waker_start(&w, act_drain);
	r = writev(p[1], v, cut_up(data, v));
	if (r != BIG)
		victim_wrong("writev_pipe: %ld of %u", r, BIG);
	waker_end(&w);
	free(data);
	return close2(r, p[0], p[1]);
}

static long run_sendmsg_unix(void)
{
	struct waker w = {0};
	uint32_t *data = big_data();
	struct iovec iov[5];
	struct msghdr m = {.msg_iov = iov};
	int v[2];
	long r;

	if (!data || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v))
		return -2;
	w.fd = v[1];
	m.msg_iovlen = (size_t)cut_up(data, iov);
	waker_start(&w, act_drain);
	r = sendmsg(v[0], &m, 0);
	if (r != BIG)
		victim_wrong("sendmsg_unix: %ld of %u", r, BIG);
	waker_end(&w);
	free(data);
	return close2(r, v[0], v[1]);
}

static void act_write_slowly(struct waker *w)
{
	for (uint32_t i = 0; i < 2000; i++) {
		if (write(w->fd, &i, 4) != 4)
			victim_wrong("waker: write");
		if (i % 100 == 99)
			usleep(5000);
	}
}

static long run_recvmsg_waitall(void)
{
	struct waker w = {0};
	uint32_t got[2000] = {0};
	struct iovec iov[3] = {{got, 1001}, {(char *)got + 1001, 999}, {(char *)got + 2000, 6000}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 3};
	int v[2];
	long r;

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v);
	w.fd = v[1];
	waker_start(&w, act_write_slowly);
	r = recvmsg(v[0], &m, MSG_WAITALL);
	for (uint32_t i = 0; i < 2000; i++)
		if (got[i] != i)
			victim_wrong("recvmsg_waitall: %ld bytes, word %u is %u", r, i, got[i]);
	waker_end(&w);
	return close2(r, v[0], v[1]);
}

static long run_sendfile_unix(void)
{
	struct waker w = {0};
	uint32_t *data = big_data();
	int f = memfd_create("data", MFD_CLOEXEC), p[2];
	off_t at = 0;
	long r;

	if (!data || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) || write(f, data, BIG) != BIG)
		return -2;
	w.fd = p[0];
	waker_start(&w, act_drain);
	r = sendfile(p[1], f, &at, BIG);
	if (r != BIG || at != BIG)
		victim_wrong("sendfile_unix: %ld of %u, offset %ld", r, BIG, (long)at);
	waker_end(&w);
	free(data);
	close(f);
	return close2(r, p[0], p[1]);
}

static long run_readv_pipe(void)
{
	struct waker w = {0};
	char a[5], b[64];
	struct iovec v[2] = {{a, sizeof(a)}, {b, sizeof(b)}};
	int p[2];
	long r;

	if (pipe2(p, O_CLOEXEC))
		return -2;
	w.fd = p[1];
	waker_start(&w, act_write8);
	r = readv(p[0], v, 2);
	waker_end(&w);
	return close2(r, p[0], p[1]);
}

static long run_splice_wait(void)
{
	struct waker w = {0};
	int p[2], q[2];
	long r;

	if (pipe2(p, O_CLOEXEC) || pipe2(q, O_CLOEXEC))
		return -2;
	w.fd = p[1];
	waker_start(&w, act_write8);
	r = splice(p[0], NULL, q[1], NULL, 8, 0);
	waker_end(&w);
	close2(0, q[0], q[1]);
	return close2(r, p[0], p[1]);
}

static long run_tee_wait(void)
{
	struct waker w = {0};
	int p[2], q[2];
	long r;

	if (pipe2(p, O_CLOEXEC) || pipe2(q, O_CLOEXEC))
		return -2;
	w.fd = p[1];
	waker_start(&w, act_write8);
	r = tee(p[0], q[1], 8, 0);
	waker_end(&w);
	close2(0, q[0], q[1]);
	return close2(r, p[0], p[1]);
}

/* Calls that compute for a while and look for signals meanwhile. In between, others have the processor. */
static long rest(long r)
{
	int err = errno;

	usleep(40000);
	errno = err;
	return r;
}

static long run_getrandom(void)
{
	static char bytes[8u << 20];

	return rest(syscall(SYS_getrandom, bytes, sizeof(bytes), 0));
}

static long read_device(const char *path, void *bytes, size_t n)
{
	int f = open(path, O_RDONLY | O_CLOEXEC);

	return rest(close2(read(f, bytes, n), f, -1));
}

static long run_read_urandom(void)
{
	static char bytes[8u << 20];

	return read_device("/dev/urandom", bytes, sizeof(bytes));
}

static long run_read_zero(void)
{
	static char bytes[32u << 20];

	return read_device("/dev/zero", bytes, sizeof(bytes));
}

static void act_drain_tty(struct waker *w)
{
	char buf[512];

	for (size_t seen = 0; seen < 65536;) {
		ssize_t n = read(w->fd, buf, sizeof(buf));

		if (n <= 0)
			victim_wrong("drain_tty: %zd errno %d", n, errno);
		for (ssize_t i = 0; i < n; i++, seen++)
			if ((uint8_t)buf[i] != (uint8_t)(seen / 3))
				victim_wrong("drain_tty: byte %zu is %u", seen, (uint8_t)buf[i]);
		usleep(500);
	}
}

static long run_write_tty(void)
{
	struct waker w = {.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
	static char bytes[65536];
	struct termios raw;
	char name[64];
	int s;
	long r;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i / 3);
	if (w.fd < 0 || grantpt(w.fd) || unlockpt(w.fd) || ptsname_r(w.fd, name, sizeof(name)))
		return sizeof(bytes); /* not on this system */
	s = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	tcgetattr(s, &raw);
	cfmakeraw(&raw);
	tcsetattr(s, TCSANOW, &raw);
	waker_start(&w, act_drain_tty);
	r = write(s, bytes, sizeof(bytes));
	if (r != sizeof(bytes))
		victim_wrong("write_tty: %ld of %zu", r, sizeof(bytes));
	waker_end(&w);
	return close2(r, s, w.fd);
}

const struct sleep_case sleep_data[] = {
	{"recv_waitall", run_recv_waitall, 5003, 0},
	{"write_pipe", run_write_pipe, BIG, 0},
	{"write_pipe_signal", run_write_pipe_signal, BIG, 0},
	{"send_unix", run_send_unix, BIG, 0},
	{"writev_pipe", run_writev_pipe, BIG, 0},
	{"sendmsg_unix", run_sendmsg_unix, BIG, 0},
	{"recvmsg_waitall", run_recvmsg_waitall, 8000, 0},
	{"readv_pipe", run_readv_pipe, 8, 0},
	{"splice_wait", run_splice_wait, 8, 0},
	{"tee_wait", run_tee_wait, 8, 0},
	{"sendfile_unix", run_sendfile_unix, BIG, 0},
	{"getrandom", run_getrandom, 8u << 20, 0},
	{"read_urandom", run_read_urandom, 8u << 20, 0},
	{"read_zero", run_read_zero, 32u << 20, 0},
	{"write_tty", run_write_tty, 65536, 0},
	{0},
};
