/* SPDX-License-Identifier: MIT */
#include "broker/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "broker/broker.h"
#include "util/log.h"

static void signals_event(struct loop_source *s, u32 events, void *arg)
{
	struct broker *b = arg;

	/* Not read: the signal stays pending and blocked, which nobody minds on the way out. */
	log_info("asked to leave by a signal");
	loop_quit(b->loop);
}

int signals_watch(struct broker *b, struct loop_source **ret)
{
	sigset_t set;
	int fd, r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = loop_add(b->loop, fd, EPOLLIN, signals_event, b, ret);
	if (r < 0)
		close(fd);
	return r;
}

void signals_unwatch(struct loop_source *s)
{
	loop_source_free(s);
}
