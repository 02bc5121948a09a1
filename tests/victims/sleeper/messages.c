/* SPDX-License-Identifier: MIT */
/* Messages, and rings of requests. */
#include "sleeper.h"

#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/syscall.h>

static void act_msg(struct waker *w)
{
	struct {
		long type;
		char text[8];
	} m = {.type = 1};

	msgsnd(w->id, &m, 8, 0);
}

static long run_msgrcv(void)
{
	struct waker w = {.id = msgget(IPC_PRIVATE, 0600)};
	struct {
		long type;
		char text[8];
	} m;
	long r;
	int err;

	waker_start(&w, act_msg);
	r = msgrcv(w.id, &m, 8, 0, 0);
	waker_end(&w);
	err = errno;
	msgctl(w.id, IPC_RMID, NULL);
	errno = err;
	return r;
}

static void act_take_msg(struct waker *w)
{
	struct {
		long type;
		char text[8192];
	} m;

	msgrcv(w->id, &m, sizeof(m.text), 0, 0);
}

/* Into a queue that is full. */
static long run_msgsnd(void)
{
	struct waker w = {.id = msgget(IPC_PRIVATE, 0600)};
	struct {
		long type;
		char text[8192];
	} m = {.type = 1};
	long r;
	int err;

	while (!msgsnd(w.id, &m, sizeof(m.text), IPC_NOWAIT))
		;
	waker_start(&w, act_take_msg);
	r = msgsnd(w.id, &m, sizeof(m.text), 0);
	waker_end(&w);
	err = errno;
	msgctl(w.id, IPC_RMID, NULL);
	errno = err;
	return r;
}

static long run_io_getevents(void)
{
	struct timespec ts = wait_time;
	aio_context_t ctx = 0;
	struct io_event ev;
	long r;
	int err;

	if (syscall(SYS_io_setup, 8, &ctx))
		return 0; /* not on this system */
	r = syscall(SYS_io_getevents, ctx, 1L, 1L, &ev, &ts);
	err = errno;
	syscall(SYS_io_destroy, ctx);
	errno = err;
	return r;
}

static long run_io_uring_enter(void)
{
	struct io_uring_params p = {0};
	struct io_uring_getevents_arg arg = {0};
	int f = (int)syscall(SYS_io_uring_setup, 8, &p);
	long r;

	if (f < 0) { /* not on this system */
		errno = ETIME;
		return -1;
	}
	arg.ts = (uint64_t)(uintptr_t)&wait_time;
	r = syscall(SYS_io_uring_enter, f, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
		    sizeof(arg));
	return close2(r, f, -1);
}

static long run_mq(void)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
	struct timespec ts = later(CLOCK_REALTIME);
	char name[64], buf[8];
	mqd_t m;

	snprintf(name, sizeof(name), "/sleeper%d", (int)getpid());
	m = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);
	mq_unlink(name);
	if (m < 0) { /* not on this system */
		errno = ETIMEDOUT;
		return -1;
	}
	return close2(mq_timedreceive(m, buf, 8, NULL, &ts), m, -1);
}

#define MESSAGES 24

static void act_messages(struct waker *w)
{
	for (uint32_t i = 0; i < MESSAGES; i++) {
		if (send(w->fd, &i, 4, 0) != 4)
			victim_wrong("waker: send: errno %d", errno);
		usleep(4000);
	}
}

static void fill_messages(struct mmsghdr m[MESSAGES], struct iovec iov[MESSAGES], uint32_t word[MESSAGES])
{
	memset(m, 0, MESSAGES * sizeof(*m));
	for (uint32_t i = 0; i < MESSAGES; i++) {
		iov[i] = (struct iovec){&word[i], 4};
		m[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
}

static long run_recvmmsg(void)
{
	struct waker w = {0};
	uint32_t word[MESSAGES] = {0};
	struct iovec iov[MESSAGES];
	struct mmsghdr m[MESSAGES];
	int v[2];
	long r;

	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, v);
	w.fd = v[1];
	fill_messages(m, iov, word);
	waker_start(&w, act_messages);
	r = recvmmsg(v[0], m, MESSAGES, 0, NULL);
	for (uint32_t i = 0; i < MESSAGES; i++)
		if (word[i] != i || m[i].msg_len != 4)
			victim_wrong("recvmmsg: %ld, message %u is %u", r, i, word[i]);
	waker_end(&w);
	return close2(r, v[0], v[1]);
}

static void act_take_messages(struct waker *w)
{
	for (uint32_t i = 0, got; i < MESSAGES; i++) {
		if (recv(w->fd, &got, 4, 0) != 4 || got != i)
			victim_wrong("sendmmsg: message %u is %u", i, got);
		usleep(6000);
	}
}

static long run_sendmmsg(void)
{
	struct waker w = {0};
	uint32_t word[MESSAGES];
	struct iovec iov[MESSAGES];
	struct mmsghdr m[MESSAGES];
	int v[2];
	long r;

	for (uint32_t i = 0; i < MESSAGES; i++)
		word[i] = i;
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, v);
	w.fd = v[1];
	fill_messages(m, iov, word);
	waker_start(&w, act_take_messages);
	r = sendmmsg(v[0], m, MESSAGES, 0);
	if (r != MESSAGES)
		victim_wrong("sendmmsg: %ld of %d", r, MESSAGES);
	waker_end(&w);
	return close2(r, v[0], v[1]);
}

/* One request that takes WAIT_MS, submitted and waited for by one call: afterwards it must have been done. */
static long run_io_uring_submit(void)
{
	struct io_uring_params p = {0};
	int f = (int)syscall(SYS_io_uring_setup, 2, &p);
	struct __kernel_timespec ts = {.tv_nsec = WAIT_MS * 1000000L};
	size_t ring = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), entries = p.sq_entries * sizeof(struct io_uring_sqe);
	struct io_uring_sqe *sqe;
	uint32_t done;
	uint8_t *m;
	long r;

	if (f < 0) /* not on this system */
		return 1;
	m = mmap(NULL, ring, PROT_READ | PROT_WRITE, MAP_SHARED, f, IORING_OFF_SQ_RING);
	sqe = mmap(NULL, entries, PROT_READ | PROT_WRITE, MAP_SHARED, f, IORING_OFF_SQES);
	if (m == MAP_FAILED || sqe == MAP_FAILED)
		return -2;
	*sqe = (struct io_uring_sqe){.opcode = IORING_OP_TIMEOUT, .fd = -1, .addr = (uintptr_t)&ts, .len = 1};
	((uint32_t *)(m + p.sq_off.array))[0] = 0;
	__atomic_store_n((uint32_t *)(m + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	r = syscall(SYS_io_uring_enter, f, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	done = __atomic_load_n((uint32_t *)(m + p.cq_off.tail), __ATOMIC_ACQUIRE);
	if (r == 1 && done != 1)
		victim_wrong("io_uring_submit: came back, and nothing is done");
	munmap(m, ring);
	munmap(sqe, entries);
	return close2(r, f, -1);
}

static long run_mq_timedsend(void)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
	struct timespec ts = later(CLOCK_REALTIME);
	char name[64];
	mqd_t m;

	snprintf(name, sizeof(name), "/sleeper-out%d", (int)getpid());
	m = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);
	mq_unlink(name);
	if (m < 0) { /* not on this system */
		errno = ETIMEDOUT;
		return -1;
	}
	mq_send(m, "12345678", 8, 0);
	return close2(mq_timedsend(m, "12345678", 8, 0, &ts), m, -1);
}

const struct sleep_case sleep_messages[] = {
	{"msgrcv", run_msgrcv, 8, 0},
	{"msgsnd", run_msgsnd, 0, 0},
	{"io_getevents", run_io_getevents, 0, 0, true},
	{"io_uring_enter", run_io_uring_enter, -1, ETIME, true},
	{"mq_timedsend", run_mq_timedsend, -1, ETIMEDOUT, true},
	{"mq_timedreceive", run_mq, -1, ETIMEDOUT, true},
	{"recvmmsg", run_recvmmsg, MESSAGES, 0},
	{"sendmmsg", run_sendmmsg, MESSAGES, 0},
	{"io_uring_submit", run_io_uring_submit, 1, 0, true},
	{0},
};
