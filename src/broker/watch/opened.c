/* SPDX-License-Identifier: MIT */
#include "broker/watch/opened.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

struct opened {
	int fd;
	struct loop_source *source;
	void (*fn)(void *arg);
	void *arg;
};

static void happened(struct loop_source *s, u32 events, void *arg)
{
	struct opened *o = arg;
	_Alignas(struct inotify_event) char buf[4096];
	bool any = false;

	while (read(o->fd, buf, sizeof(buf)) > 0)
		any = true;
	if (any)
		o->fn(o->arg);
}

int opened_new(struct loop *loop, void (*fn)(void *arg), void *arg, struct opened **ret)
{
	struct opened *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->fn = fn;
	o->arg = arg;
	o->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	r = o->fd < 0 ? -errno : loop_add(loop, o->fd, EPOLLIN, happened, o, &o->source);
	if (r) {
		opened_free(o);
		return r;
	}
	*ret = o;
	return 0;
}

void opened_free(struct opened *o)
{
	if (!o)
		return;
	loop_source_free(o->source);
	if (o->fd >= 0)
		close(o->fd);
	free(o);
}

int opened_mark(struct opened *o, int fd)
{
	char name[32];
	int mark;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	mark = inotify_add_watch(o->fd, name, IN_OPEN);
	return mark < 0 ? -errno : mark;
}

void opened_unmark(struct opened *o, int mark)
{
	inotify_rm_watch(o->fd, mark);
}
