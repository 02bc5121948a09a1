/* SPDX-License-Identifier: MIT */
/*
 * sleeper [-l | CASE...]: one thread for each blocking system call that a stop could show to the program, each in a loop
 * of waits of about WAIT_MS. A wait that ends in a way it cannot end by itself (EINTR without a signal, a part of what
 * was asked for), or that ends too early, is reported as "wrong CASE ...", exit 3. -l lists the cases. At the end:
 * "waits CASE N", and where a time limit ends the wait "shortest CASE MICROSECONDS".
 */
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#define WAIT_MS 120
#define SIGNALS 20 /* in one go */
#define BIG (1u << 20)

static const struct timespec wait_time = {.tv_nsec = WAIT_MS * 1000000L};

/* What a helper thread does after WAIT_MS, so that the wait ends well. */
struct waker {
	pthread_t thread, waiter;
	pid_t tid;  /* the waiter's */
	long call;  /* the one it is to be told of a signal in */
	bool hurry; /* do not wait */
	void (*act)(struct waker *);
	int fd, word, id;
	struct sockaddr_in to;
};

static void pause_exactly(void)
{
	struct timespec left = wait_time;

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

static void *waker_main(void *arg)
{
	struct waker *w = arg;

	if (!w->hurry)
		pause_exactly();
	w->act(w);
	return NULL;
}

static void waker_start(struct waker *w, void (*act)(struct waker *))
{
	w->act = act;
	w->waiter = pthread_self();
	w->tid = gettid();
	if (pthread_create(&w->thread, NULL, waker_main, w))
		victim_wrong("cannot make a thread");
}

static void waker_end(struct waker *w)
{
	int err = errno;

	pthread_join(w->thread, NULL);
	errno = err;
}

static void act_write8(struct waker *w)
{
	uint64_t one = 1;

	if (write(w->fd, &one, 8) != 8)
		victim_wrong("waker: write");
}

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

/* Reads BIG bytes slowly and checks that they come in order, none lost, none twice. */
static void act_drain(struct waker *w)
{
	size_t seen = 0;

	while (seen < BIG) {
		uint32_t buf[2048];
		size_t have = 0;

		while (have < sizeof(buf)) {
			ssize_t n = read(w->fd, (char *)buf + have, sizeof(buf) - have);

			if (n <= 0)
				victim_wrong("drain: read after %zu bytes: %zd errno %d", seen, n, errno);
			have += (size_t)n;
		}
		for (size_t i = 0; i < 2048; i++, seen += 4)
			if (buf[i] != seen)
				victim_wrong("drain: byte %zu holds %u", seen, buf[i]);
		usleep(300);
	}
}

static void act_futex(struct waker *w)
{
	__atomic_store_n(&w->word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &w->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void act_msg(struct waker *w)
{
	struct {
		long type;
		char text[8];
	} m = {.type = 1};

	msgsnd(w->id, &m, 8, 0);
}

static void act_sem(struct waker *w)
{
	struct sembuf up = {.sem_op = 1};

	semop(w->id, &up, 1);
}

static void act_signal(struct waker *w)
{
	pthread_kill(w->waiter, SIGUSR1);
}

static void act_connect(struct waker *w)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(s, (struct sockaddr *)&w->to, sizeof(w->to)))
		victim_wrong("waker: connect: errno %d", errno);
	close(s);
}

static void act_unlock(struct waker *w)
{
	flock(w->fd, LOCK_UN);
}

static struct timespec later(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_nsec += wait_time.tv_nsec;
	if (ts.tv_nsec >= 1000000000L) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000L;
	}
	return ts;
}

static void limit(int sock, int option)
{
	struct timeval tv = {.tv_usec = WAIT_MS * 1000};

	setsockopt(sock, SOL_SOCKET, option, &tv, sizeof(tv));
}

static int listener(struct sockaddr_in *ret)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret);

	*ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(s, (struct sockaddr *)ret, sizeof(*ret)) || listen(s, 5) ||
	    getsockname(s, (struct sockaddr *)ret, &len))
		victim_wrong("cannot listen: errno %d", errno);
	return s;
}

static long close2(long r, int a, int b)
{
	int err = errno;

	if (a >= 0)
		close(a);
	if (b >= 0)
		close(b);
	errno = err;
	return r;
}

static sigset_t usr1(void)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	return s;
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

static long run_futex(void)
{
	struct waker w = {0};
	long r;

	waker_start(&w, act_futex);
	r = syscall(SYS_futex, &w.word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	if (r == -1 && errno == EAGAIN && __atomic_load_n(&w.word, __ATOMIC_SEQ_CST))
		r = 0; /* a restarted wait looks at the word again: woken, too */
	waker_end(&w);
	return r;
}

static long run_futex_timeout(void)
{
	int word = 0;

	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &wait_time, NULL, 0);
}

static long run_sem_timedwait(void)
{
	struct timespec ts = later(CLOCK_REALTIME);
	sem_t s;

	sem_init(&s, 0, 0);
	return sem_timedwait(&s, &ts);
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

static uint32_t *big_data(void)
{
	uint32_t *p = malloc(BIG);

	for (uint32_t i = 0; p && i < BIG / 4; i++)
		p[i] = i * 4;
	return p;
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

static long run_sigtimedwait(void)
{
	sigset_t s = usr1();

	return sigtimedwait(&s, NULL, &wait_time);
}

static long run_sigwaitinfo(void)
{
	struct waker w = {0};
	sigset_t s = usr1();
	long r;

	waker_start(&w, act_signal);
	r = sigwaitinfo(&s, NULL);
	waker_end(&w);
	return r;
}

static long run_read_signalfd(void)
{
	struct waker w = {0};
	struct signalfd_siginfo si;
	sigset_t s = usr1();
	int f = signalfd(-1, &s, SFD_CLOEXEC);
	long r;

	waker_start(&w, act_signal);
	r = read(f, &si, sizeof(si));
	waker_end(&w);
	return close2(r, f, -1);
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

static long run_semop(void)
{
	struct waker w = {.id = semget(IPC_PRIVATE, 1, 0600)};
	struct sembuf down = {.sem_op = -1};
	long r;
	int err;

	waker_start(&w, act_sem);
	r = semop(w.id, &down, 1);
	waker_end(&w);
	err = errno;
	semctl(w.id, 0, IPC_RMID);
	errno = err;
	return r;
}

static long run_semtimedop(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600), err;
	struct sembuf down = {.sem_op = -1};
	long r = semtimedop(id, &down, 1, &wait_time);

	err = errno;
	semctl(id, 0, IPC_RMID);
	errno = err;
	return r;
}

static long run_flock(void)
{
	struct waker w = {.fd = memfd_create("lock", MFD_CLOEXEC)};
	char path[64];
	int other;
	long r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", w.fd);
	other = open(path, O_RDWR | O_CLOEXEC);
	flock(w.fd, LOCK_EX);
	waker_start(&w, act_unlock);
	r = flock(other, LOCK_EX);
	waker_end(&w);
	return close2(r, w.fd, other);
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

static void on_usr2(int sig)
{
	(void)sig;
}

/* Is the waiter in its call? A signal that comes earlier is one that no call will tell of. */
static bool waiter_sleeps(const struct waker *w)
{
	char path[64], text[32] = "";
	long call;
	int f, n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)w->tid);
	f = open(path, O_RDONLY | O_CLOEXEC);
	n = f < 0 ? -1 : (int)read(f, text, sizeof(text) - 1);
	if (f >= 0)
		close(f);
	call = strtol(text, NULL, 10);
	return n < 0 || call == w->call || call == SYS_restart_syscall; /* where nobody may look: as it comes */
}

static void act_usr2(struct waker *w)
{
	while (!waiter_sleeps(w))
		usleep(100);
	pthread_kill(w->waiter, SIGUSR2);
}

/* A signal with a handler must still be told: here EINTR is right. */
static long run_epoll_wait_signal(void)
{
	struct waker w = {.call = SYS_epoll_wait};
	struct epoll_event ev;
	int e = epoll_create1(EPOLL_CLOEXEC);
	long r;

	waker_start(&w, act_usr2);
	r = epoll_wait(e, &ev, 1, 20000);
	waker_end(&w);
	return close2(r, e, -1);
}

/* As fast as can be, so that the signal often comes when a stop has just ended: it must find the call, and not the
 * moment before the call begins again. */
static long signal_often(long call, long (*wait)(int fd))
{
	long r = 0;

	for (int i = 0; i < SIGNALS && !victim_stop(); i++) {
		struct waker w = {.call = call, .hurry = true};
		time_t begin = time(NULL);
		int p[2];

		if (pipe2(p, O_CLOEXEC))
			return -2;
		waker_start(&w, act_usr2);
		r = wait(p[0]);
		waker_end(&w);
		if (close2(r, p[0], p[1]) != -1 || errno != EINTR || time(NULL) - begin > 4)
			victim_wrong("call %ld: %ld errno %d after %ld s", call, r, errno, (long)(time(NULL) - begin));
	}
	pause_exactly();
	return 0;
}

static long wait_in_epoll(int fd)
{
	struct epoll_event ev;
	int e = epoll_create1(EPOLL_CLOEXEC);

	return close2(epoll_wait(e, &ev, 1, 5000), e, -1);
}

static long wait_in_poll(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 5000);
}

static long wait_in_select(int fd)
{
	struct timeval tv = {.tv_sec = 5};

	return select(0, NULL, NULL, NULL, &tv);
}

static long wait_in_nanosleep(int fd)
{
	struct timespec ts = {.tv_sec = 5};

	return nanosleep(&ts, NULL);
}

static long run_epoll_wait_signals(void)
{
	return signal_often(SYS_epoll_wait, wait_in_epoll);
}

static long run_poll_signals(void)
{
	return signal_often(SYS_poll, wait_in_poll);
}

static long run_select_signals(void)
{
	return signal_often(SYS_pselect6, wait_in_select);
}

static long run_nanosleep_signals(void)
{
	return signal_often(SYS_clock_nanosleep, wait_in_nanosleep);
}

/* The mask that the call puts in place is not the one that stays. */
static long run_ppoll_signal(void)
{
	struct waker w = {.call = SYS_ppoll};
	struct timespec ts = {.tv_sec = 20};
	sigset_t none, block = usr1();
	long r;

	sigaddset(&block, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &block, NULL);
	sigemptyset(&none);
	waker_start(&w, act_usr2);
	r = ppoll(NULL, 0, &ts, &none);
	waker_end(&w);
	pthread_sigmask(SIG_SETMASK, NULL, &none);
	if (!sigismember(&none, SIGUSR2) || !sigismember(&none, SIGUSR1) || sigismember(&none, SIGALRM))
		victim_wrong("ppoll_signal: the signal mask has changed");
	return r;
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

/* Calls that compute for a while and look for signals meanwhile. */
static long run_getrandom(void)
{
	static char bytes[8u << 20];

	return syscall(SYS_getrandom, bytes, sizeof(bytes), 0);
}

static long read_device(const char *path, void *bytes, size_t n)
{
	int f = open(path, O_RDONLY | O_CLOEXEC);

	return close2(read(f, bytes, n), f, -1);
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

/* Queued signals come all, in order, with what was sent with them. */
static _Thread_local volatile int values_seen, values_wrong;

static void on_value(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	values_wrong += si->si_value.sival_int != values_seen || si->si_code != SI_QUEUE || si->si_pid != getpid();
	values_seen++;
}

#define VALUES 200

static void act_values(struct waker *w)
{
	for (int i = 0; i < VALUES; i++) {
		siginfo_t si = {.si_code = SI_QUEUE, .si_value.sival_int = i};

		si.si_pid = getpid();
		si.si_uid = getuid();
		while (syscall(SYS_rt_tgsigqueueinfo, getpid(), w->tid, SIGRTMIN + 3, &si) && errno == EAGAIN)
			usleep(1000);
		if (i % 10 == 9)
			usleep(5000);
	}
}

static long run_values(void)
{
	struct waker w = {.hurry = true};

	values_seen = values_wrong = 0;
	waker_start(&w, act_values);
	while (values_seen < VALUES && !values_wrong)
		usleep(300);
	waker_end(&w);
	return values_wrong;
}

struct sleep_case {
	const char *name;
	long (*run)(void);
	long want;
	int want_errno; /* when want is -1 */
	bool limited;	/* it ends when WAIT_MS are over */
};

static const struct sleep_case cases[] = {
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
	{"futex", run_futex, 0, 0},
	{"futex_timeout", run_futex_timeout, -1, ETIMEDOUT, true},
	{"sem_timedwait", run_sem_timedwait, -1, ETIMEDOUT, true},
	{"read_pipe", run_read_pipe, 8, 0},
	{"read_eventfd", run_read_eventfd, 8, 0},
	{"read_timerfd", run_read_timerfd, 8, 0, true},
	{"accept_timeout", run_accept_timeout, -1, EAGAIN, true},
	{"accept", run_accept, 0, 0},
	{"recv", run_recv, 8, 0},
	{"recv_timeout", run_recv_timeout, -1, EAGAIN, true},
	{"recv_waitall", run_recv_waitall, 5003, 0},
	{"write_pipe", run_write_pipe, BIG, 0},
	{"write_pipe_signal", run_write_pipe_signal, BIG, 0},
	{"send_unix", run_send_unix, BIG, 0},
	{"msgrcv", run_msgrcv, 8, 0},
	{"io_getevents", run_io_getevents, 0, 0, true},
	{"io_uring_enter", run_io_uring_enter, -1, ETIME, true},
	{"sigtimedwait", run_sigtimedwait, -1, EAGAIN, true},
	{"sigwaitinfo", run_sigwaitinfo, SIGUSR1, 0},
	{"read_signalfd", run_read_signalfd, 128, 0},
	{"wait4", run_wait4, 0, 0},
	{"waitid", run_waitid, 0, 0},
	{"semop", run_semop, 0, 0},
	{"semtimedop", run_semtimedop, -1, EAGAIN, true},
	{"flock", run_flock, 0, 0},
	{"mq_timedreceive", run_mq, -1, ETIMEDOUT, true},
	{"epoll_wait_signal", run_epoll_wait_signal, -1, EINTR},
	{"ppoll_signal", run_ppoll_signal, -1, EINTR},
	{"epoll_wait_signals", run_epoll_wait_signals, 0, 0},
	{"poll_signals", run_poll_signals, 0, 0},
	{"select_signals", run_select_signals, 0, 0},
	{"nanosleep_signals", run_nanosleep_signals, 0, 0},
	{"ppoll_const", run_ppoll_const, 0, 0, true},
	{"pselect_const", run_pselect_const, 0, 0, true},
	{"select_const", run_select_const, 0, 0, true},
	{"send_timeout", run_send_timeout, -1, EAGAIN, true},
	{"writev_pipe", run_writev_pipe, BIG, 0},
	{"sendmsg_unix", run_sendmsg_unix, BIG, 0},
	{"recvmsg_waitall", run_recvmsg_waitall, 8000, 0},
	{"sendfile_unix", run_sendfile_unix, BIG, 0},
	{"recvmmsg", run_recvmmsg, MESSAGES, 0},
	{"sendmmsg", run_sendmmsg, MESSAGES, 0},
	{"getrandom", run_getrandom, 8u << 20, 0},
	{"read_urandom", run_read_urandom, 8u << 20, 0},
	{"read_zero", run_read_zero, 32u << 20, 0},
	{"write_tty", run_write_tty, 65536, 0},
	{"io_uring_submit", run_io_uring_submit, 1, 0, true},
	{"values", run_values, 0, 0},
};
#define NCASES (sizeof(cases) / sizeof(cases[0]))

struct sleeper {
	const struct sleep_case *c;
	pthread_t thread;
	uint64_t waits, shortest; /* ns */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;

	while (!victim_stop()) {
		uint64_t begin = now_ns(), took;
		long r;

		errno = 0;
		r = s->c->run();
		took = now_ns() - begin;
		if (r != s->c->want || (r == -1 && errno != s->c->want_errno))
			victim_wrong("%s: %ld errno %d (%s)", s->c->name, r, errno, strerror(errno));
		if (s->c->limited && took < WAIT_MS * 1000000u)
			victim_wrong("%s: over after %lu us", s->c->name, took / 1000);
		if (!s->waits || took < s->shortest)
			s->shortest = took;
		s->waits++;
	}
	return NULL;
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	struct sleeper s[NCASES] = {0};
	struct sigaction sa = {.sa_handler = on_usr2};
	sigset_t usr = usr1();
	size_t n = 0;

	if (argc > 1 && !strcmp(argv[1], "-l")) {
		for (size_t i = 0; i < NCASES; i++)
			puts(cases[i].name);
		return 0;
	}
	victim_begin();
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGUSR2, &sa, NULL);
	sa = (struct sigaction){.sa_sigaction = on_value, .sa_flags = SA_SIGINFO};
	sigaction(SIGRTMIN + 3, &sa, NULL);
	pthread_sigmask(SIG_BLOCK, &usr, NULL);
	for (size_t i = 0; i < NCASES; i++)
		if (wanted(cases[i].name, argc, argv))
			s[n++].c = &cases[i];
	for (size_t i = 0; i < n; i++)
		if (pthread_create(&s[i].thread, NULL, sleeper_main, &s[i]))
			return 2;
	victim_ready();
	victim_wait(-1);
	for (size_t i = 0; i < n; i++) {
		pthread_join(s[i].thread, NULL);
		printf("waits %s %lu\n", s[i].c->name, s[i].waits);
		if (s[i].c->limited)
			printf("shortest %s %lu\n", s[i].c->name, s[i].shortest / 1000);
	}
	return n ? 0 : 2;
}
