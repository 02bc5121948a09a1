/* SPDX-License-Identifier: MIT */
/*
 * What a filtered thread asks, we answer while it waits in its system call:
 *
 *     the value or the error     SECCOMP_IOCTL_NOTIF_SEND
 *     a new descriptor           SECCOMP_IOCTL_NOTIF_ADDFD with SEND: the number is the call's value
 *     not ours                   FLAG_CONTINUE: the kernel makes the call as if there were no filter
 *
 * CONTINUE is no security boundary (the thread may change its arguments meanwhile), and need not be one: it is what the
 * process may do anyway. The filter waits killable: a signal does not interrupt a call half-way, so none is made twice;
 * Go sends itself signals all the time.
 *
 * But a thread that waits like that cannot be stopped either. Calls that may have to stop it (a link may attach to the
 * loader itself) let go of it first (release.h): it makes its call again, and while it waits for us to take that, we do
 * the work. The second time it gets the result, which lies ready in a struct again.
 *
 * Differences to the preloaded front end: a close takes effect when we see the hang-up, a moment after close() has
 * returned; and there is nobody in the loader who could run programs by the clock.
 */
#include "broker/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utlist.h>

#include "base/bits.h"
#include "broker/broker.h"
#include "broker/client.h"
#include "broker/cmd/cmd.h"
#include "broker/link/run.h"
#include "broker/link/sandbox.h"
#include "broker/notify_mmap.h"
#include "broker/object/map.h"
#include "broker/object/output.h"
#include "broker/release.h"
#include "broker/server.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#define SYNC_WAKE_UP 1u /* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: the waiting thread goes on on this CPU, at once */
#define NOTIF_MAX 512u	/* room for a struct that has grown */

/* The result of a call that its thread makes again. */
struct again {
	pid_t tid;
	struct seccomp_data call;
	s64 value;
	int ret_fd;
	bool native;
	struct again *prev, *next;
};

struct notify {
	struct broker *broker;
	int fd;
	struct loop_source *source;
	pid_t last_tid, last_tgid; /* who asked last */
	struct again *again;
	bool allow_write, kernel; /* of whoever installed the filter */
};

static void again_free(struct notify *n, struct again *g)
{
	DL_DELETE(n->again, g);
	if (g->ret_fd >= 0)
		close(g->ret_fd);
	free(g);
}

/* Is this the call of which the result lies ready? Then it is the caller's now. A thread makes it again at once, except
 * that a handler may come first: what is still here when its thread makes another one stays. */
static bool again_take(struct notify *n, const struct seccomp_notif *req, s64 *ret_value, struct call *ret)
{
	struct again *g;

	DL_FOREACH(n->again, g)
	{
		if (g->tid != (pid_t)req->pid || memcmp(&g->call, &req->data, sizeof(g->call)))
			continue;
		*ret_value = g->value;
		ret->ret_fd = g->ret_fd;
		ret->native = g->native;
		g->ret_fd = -1;
		again_free(n, g);
		return true;
	}
	return false;
}

static void again_reap(struct notify *n)
{
	struct again *g, *tmp;

	DL_FOREACH_SAFE(n->again, g, tmp)
	{
		if (kill(g->tid, 0) < 0 && errno == ESRCH)
			again_free(n, g);
	}
}

static void notify_free(struct notify *n)
{
	while (n->again)
		again_free(n, n->again);
	loop_source_free(n->source);
	fd_closep(&n->fd);
	free(n);
}

/* The eventfd that stands for a map or a perf buffer, -ENOENT: neither. */
static int notify_pollable(struct client *c, int fd)
{
	struct object *o;
	int r = object_by_fd(c, fd, OBJECT_NKINDS, &o);

	if (!r && o->kind == OBJECT_MAP)
		return object_map_pollable(object_to_map(o));
	return !r && o->kind == OBJECT_OUTPUT ? object_output_pollable(object_to_output(o)) : -ENOENT;
}

/* epoll_ctl(2): the eventfd takes the descriptor's place in the caller's own set, edge triggered (object/ring.c). */
static s64 notify_epoll_ctl(struct call *k, const u64 *a)
{
	int op = (int)a[1], event_fd = notify_pollable(k->c, (int)a[2]), set fd_auto = -1;
	struct epoll_event ev = {};

	if (event_fd == -ENOENT) {
		k->native = true;
		return 0;
	}
	if (event_fd < 0)
		return event_fd;
	if (op != EPOLL_CTL_DEL && client_read(k->c, a[3], &ev, sizeof(ev)) < 0)
		return -EFAULT;
	set = client_get_fd(k->c, (int)a[0]);
	if (set < 0)
		return set;
	ev.events |= EPOLLET;
	return epoll_ctl(set, op, event_fd, &ev) < 0 ? -errno : 0;
}

static s64 notify_dispatch(struct call *k, const struct seccomp_data *d)
{
	const u64 *a = (const u64 *)d->args;

	switch (d->nr) {
	case SYS_bpf: return cmd_bpf(k, a[0], a[1], a[2]);
	case SYS_perf_event_open: return cmd_perf_open(k, a[0], (s32)a[1], (s32)a[2], (s32)a[3], a[4]);
	case SYS_ioctl: return cmd_ioctl(k, (int)a[0], a[1], a[2]);
	case SYS_epoll_ctl: return notify_epoll_ctl(k, a);
	case SYS_mmap: return notify_mmap(k, a);
	}
	k->native = true;
	return 0;
}

/* There is no shim that could print it. A terminal that is stopped must not stop us. */
static void notify_tell(struct call *k)
{
	char line[sizeof(k->notice) + 16];
	int fd fd_auto = client_get_fd(k->c, 2);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int n = snprintf(line, sizeof(line), "notrap: %s\n", k->notice);

	if (fd >= 0 && poll(&p, 1, 0) == 1 && p.revents & POLLOUT && write(fd, line, (size_t)n) < 0)
		log_info("%s", k->notice);
}

/* Hang-ups come by themselves; only who lists objects would see that one is late. */
static bool asks_what_is_there(const struct seccomp_data *d)
{
	switch (d->nr == SYS_bpf ? (u32)d->args[0] : ~0u) {
	case BPF_MAP_LOOKUP_ELEM:
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_DELETE_ELEM:
	case BPF_MAP_GET_NEXT_KEY: return false;
	}
	return d->nr == SYS_bpf;
}

/* May this call have to stop the caller, or borrow a thread of it? */
static bool may_stop(struct call *k, const struct seccomp_data *d)
{
	const u64 *a = (const u64 *)d->args;

	switch (d->nr) {
	case SYS_bpf:
		/* With --kernel uprobes of the caller's own may have to move. */
		return a[0] == BPF_LINK_CREATE || (k->c->kernel && (a[0] == BPF_PROG_LOAD || a[0] == BPF_RAW_TRACEPOINT_OPEN));
	case SYS_ioctl: return (u32)a[1] == (u32)PERF_EVENT_IOC_SET_BPF;
	case SYS_mmap: return notify_mmap_borrows(k, a);
	}
	return false;
}

/* *ret_again: takes the result when the caller makes the call again, as it was let go; NULL: it waits for its answer. */
static s64 notify_call(struct notify *n, struct client *c, const struct seccomp_notif *req, struct call *ret,
		       struct again **ret_again)
{
	struct again *g = NULL;
	struct call *k = ret;
	s64 r;

	*k = (struct call){.b = n->broker, .c = c, .ret_fd = -1};
	if (asks_what_is_there(&req->data))
		object_reap(n->broker); /* what the loader closed before this call is closed */
	if (may_stop(k, &req->data))
		g = malloc(sizeof(*g));
	if (g && release_caller(n->fd, req->id, (pid_t)req->pid) < 0) {
		free(g);
		g = NULL;
	}
	n->broker->held_caller = g ? 0 : c->pid;
	r = notify_dispatch(k, &req->data);
	n->broker->held_caller = 0;
	if (k->has_run) {
		run_left(n->broker, c->pid, k->run.token);
		snprintf(k->notice, sizeof(k->notice),
			 "this loader is statically linked: programs cannot run in it (clocks, BPF_PROG_TEST_RUN)");
		r = -EOPNOTSUPP;
	}
	if (k->notice[0] && r < 0)
		notify_tell(k);
	*ret_again = g;
	return r;
}

static void again_put(struct notify *n, struct again *g, const struct seccomp_notif *req, s64 value, const struct call *k)
{
	again_reap(n);
	*g = (struct again){
	    .tid = (pid_t)req->pid, .call = req->data, .value = value, .ret_fd = k->ret_fd, .native = k->native};
	DL_APPEND(n->again, g);
}

static void notify_answer(struct notify *n, u64 id, s64 value, struct call *k)
{
	struct seccomp_notif_resp resp = {.id = id};

	if (k->ret_fd >= 0 && value >= 0) {
		struct seccomp_notif_addfd add = {
		    .id = id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (u32)k->ret_fd, .newfd_flags = O_CLOEXEC};

		if (ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0 || errno == ENOENT || errno == EINPROGRESS)
			return; /* answered, or the caller was killed */
		value = -errno;
	}
	if (k->native)
		resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (value < 0)
		resp.error = (s32)value;
	else
		resp.val = value;
	if (ioctl(n->fd, SECCOMP_IOCTL_NOTIF_SEND, &resp) < 0 && errno != ENOENT)
		log_error("a filtered call cannot be answered: %s", strerror(errno));
}

/* The caller waits, so its thread id is its own for now. */
static struct client *notify_client(struct notify *n, pid_t tid)
{
	struct proc_status status;
	struct client *c;

	if (tid != n->last_tid || syscall(SYS_tgkill, n->last_tgid, tid, 0) < 0) {
		if (proc_status_read(tid, &status) < 0)
			return NULL;
		n->last_tid = tid;
		n->last_tgid = status.tgid;
	}
	c = server_client_of(n->broker, n->last_tgid);
	if (!c)
		return NULL;
	if (!c->filtered)
		c->filtered = c->heirs = true; /* it was born with it */
	c->allow_write = n->allow_write;
	c->kernel = n->kernel;
	return c;
}

static void notify_readable(struct loop_source *s, u32 events, void *arg)
{
	struct notify *n = arg;
	union {
		struct seccomp_notif req;
		u8 bytes[NOTIF_MAX];
	} u = {};
	struct call k = {.native = true, .ret_fd = -1};
	struct again *again = NULL;
	struct client *c;
	s64 value = 0;

	if (events & (EPOLLHUP | EPOLLERR)) { /* nobody has the filter any more */
		notify_free(n);
		return;
	}
	if (ioctl(n->fd, SECCOMP_IOCTL_NOTIF_RECV, &u.req) < 0)
		return; /* killed meanwhile */
	c = notify_client(n, (pid_t)u.req.pid);
	if (c && !again_take(n, &u.req, &value, &k))
		value = notify_call(n, c, &u.req, &k, &again);
	if (again) {
		again_put(n, again, &u.req, value, &k);
		return;
	}
	notify_answer(n, u.req.id, value, &k);
	if (k.ret_fd >= 0)
		close(k.ret_fd);
}

/* A child that it had before does not have the filter, and may get another one. */
static bool is_childless(pid_t pid)
{
	char path[48], text[16];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	return fd_read_text(path, text, sizeof(text)) == 0;
}

int notify_listen(struct broker *b, struct client *c, int fd)
{
	struct notify *n;
	int r;

	if (fd < 0) /* it has a filter: is it one that we answer already? */
		return sandbox_is_ours(b, c->pid) ? 0 : -EBADF;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->broker = b;
	n->allow_write = c->allow_write;
	n->kernel = c->kernel;
	n->fd = client_get_fd(c, fd);
	r = n->fd < 0 ? n->fd : loop_add(b->loop, n->fd, EPOLLIN, notify_readable, n, &n->source);
	if (r < 0) {
		notify_free(n);
		return r;
	}
	c->filtered = true; /* until it ends: also when it does nothing but start others */
	c->heirs = is_childless(c->pid);
	ioctl(n->fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, (u64)SYNC_WAKE_UP); /* only faster; Linux 6.6 */
	return 0;
}
