/* SPDX-License-Identifier: MIT */
/* What the parts of the sleeper share: wakers, which end a wait well, and tables of cases. */
#pragma once

#include "../victim.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define WAIT_MS 120
#define TICK_NS 10000000u /* of a slow kernel */
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

static inline void pause_exactly(void)
{
	struct timespec left = wait_time;

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

static inline void *waker_main(void *arg)
{
	struct waker *w = arg;

	if (!w->hurry)
		pause_exactly();
	w->act(w);
	return NULL;
}

static inline void waker_start(struct waker *w, void (*act)(struct waker *))
{
	w->act = act;
	w->waiter = pthread_self();
	w->tid = gettid();
	if (pthread_create(&w->thread, NULL, waker_main, w))
		victim_wrong("cannot make a thread");
}

static inline void waker_end(struct waker *w)
{
	int err = errno;

	pthread_join(w->thread, NULL);
	errno = err;
}

static inline void act_write8(struct waker *w)
{
	uint64_t one = 1;

	if (write(w->fd, &one, 8) != 8)
		victim_wrong("waker: write");
}

static inline void act_signal(struct waker *w)
{
	pthread_kill(w->waiter, SIGUSR1);
}

static inline struct timespec later(clockid_t clock)
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

static inline void limit(int sock, int option)
{
	struct timeval tv = {.tv_usec = WAIT_MS * 1000};

	setsockopt(sock, SOL_SOCKET, option, &tv, sizeof(tv));
}

static inline int listener(struct sockaddr_in *ret)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret);

	*ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(s, (struct sockaddr *)ret, sizeof(*ret)) || listen(s, 5) ||
	    getsockname(s, (struct sockaddr *)ret, &len))
		victim_wrong("cannot listen: errno %d", errno);
	return s;
}

static inline long close2(long r, int a, int b)
{
	int err = errno;

	if (a >= 0)
		close(a);
	if (b >= 0)
		close(b);
	errno = err;
	return r;
}

static inline sigset_t usr1(void)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	return s;
}

/* Reads BIG bytes slowly and checks that they come in order, none lost, none twice. */
static inline void act_drain(struct waker *w)
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

static inline uint32_t *big_data(void)
{
	uint32_t *p = malloc(BIG);

	for (uint32_t i = 0; p && i < BIG / 4; i++)
		p[i] = i * 4;
	return p;
}

struct sleep_case {
	const char *name;
	long (*run)(void);
	long want;
	int want_errno; /* when want is -1 */
	bool limited;	/* it ends when WAIT_MS are over ... */
	bool in_ticks;	/* ... by the kernel's ticks, whose count may be behind: a little earlier, stopped or not */
	bool child;	/* makes child processes, whose ends are told to this one */
};

/* Each ends with a case without a name. */
void sleep_signals_begin(void); /* installs handlers */
extern const struct sleep_case sleep_waits[], sleep_locks[], sleep_data[], sleep_messages[], sleep_signals[];
