/* SPDX-License-Identifier: MIT */
#include "util/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utlist.h>

struct loop_source {
	struct loop *loop;
	int fd;
	bool timer; /* fd is our own timerfd */
	bool dead;  /* freed inside a round: memory goes at the round's end */
	loop_fn fn;
	void *arg;
	struct loop_source *prev, *next;
};

struct loop {
	int epoll;
	bool quit;
	u32 depth; /* nested rounds */
	struct loop_source *sources, *graveyard;
};

int loop_new(struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0) {
		free(l);
		return -errno;
	}
	*ret = l;
	return 0;
}

static void loop_bury(struct loop *l)
{
	struct loop_source *s, *tmp;

	DL_FOREACH_SAFE(l->graveyard, s, tmp)
	{
		DL_DELETE(l->graveyard, s);
		free(s);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->sources)
		loop_source_free(l->sources);
	loop_bury(l);
	close(l->epoll);
	free(l);
}

int loop_add(struct loop *l, int fd, u32 events, loop_fn fn, void *arg, struct loop_source **ret)
{
	struct loop_source *s = calloc(1, sizeof(*s));
	struct epoll_event ev = {.events = events, .data.ptr = s};

	if (!s)
		return -ENOMEM;
	*s = (struct loop_source){.loop = l, .fd = fd, .fn = fn, .arg = arg};
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(s);
		return -errno;
	}
	DL_APPEND(l->sources, s);
	*ret = s;
	return 0;
}

int loop_timer_set(struct loop_source *s, u64 period_ms)
{
	struct timespec ts = {.tv_sec = (time_t)(period_ms / 1000),
			      .tv_nsec = (long)(period_ms % 1000) * 1000000};
	struct itimerspec its = {.it_value = ts, .it_interval = ts};

	return timerfd_settime(s->fd, 0, &its, NULL) < 0 ? -errno : 0;
}

int loop_add_timer(struct loop *l, u64 period_ms, loop_fn fn, void *arg, struct loop_source **ret)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct loop_source *s;
	int r;

	if (fd < 0)
		return -errno;
	r = loop_add(l, fd, EPOLLIN, fn, arg, &s);
	if (r < 0) {
		close(fd);
		return r;
	}
	s->timer = true;
	r = loop_timer_set(s, period_ms);
	if (r < 0) {
		loop_source_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void loop_source_free(struct loop_source *s)
{
	struct loop *l;

	if (!s)
		return;
	l = s->loop;
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	if (s->timer)
		close(s->fd);
	DL_DELETE(l->sources, s);
	s->dead = true;
	DL_APPEND(l->graveyard, s);
	if (!l->depth)
		loop_bury(l);
}

int loop_turn(struct loop *l, int timeout_ms)
{
	struct epoll_event ev[64];
	int n, calls = 0;

	n = epoll_wait(l->epoll, ev, 64, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	l->depth++;
	for (int i = 0; i < n; i++) {
		struct loop_source *s = ev[i].data.ptr;
		u64 expired;

		if (s->dead)
			continue;
		if (s->timer && read(s->fd, &expired, sizeof(expired)) < 0)
			continue;
		s->fn(s, ev[i].events, s->arg);
		calls++;
	}
	if (!--l->depth)
		loop_bury(l);
	return calls;
}

int loop_run(struct loop *l)
{
	int r = 0;

	l->quit = false;
	while (!l->quit && r >= 0)
		r = loop_turn(l, -1);
	return r < 0 ? r : 0;
}

void loop_quit(struct loop *l)
{
	l->quit = true;
}
