/* SPDX-License-Identifier: MIT */
#include "broker/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utlist.h>

#include "base/bits.h"
#include "broker/broker.h"
#include "broker/client.h"
#include "broker/cmd/cmd.h"
#include "broker/link/run.h"
#include "broker/object/kernel.h"
#include "broker/object/map.h"
#include "broker/object/relay.h"
#include "broker/link/link.h"
#include "broker/object/output.h"
#include "broker/notify.h"
#include "broker/query.h"
#include "broker/trace.h"
#include "ipc/ipc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

struct server {
	struct broker *broker;
	int listener;
	int spare; /* given up to turn a client away when there are no others */
	struct loop_source *source;
};

static void client_free(struct client *c)
{
	struct broker *b = c->broker;

	DL_DELETE(b->clients, c);
	loop_source_free(c->source);
	loop_source_free(c->exit);
	fd_closep(&c->sock);
	fd_closep(&c->pidfd);
	free(c);
	object_reap(b); /* an exit closes what a killed loader had open */
}

static s64 server_hello(struct client *c, const struct nt_request *q)
{
	int r;

	if (q->arg[0] != NT_WIRE_VERSION || !q->arg[1] || q->arg[1] > NT_ROLE_CLI)
		return -EPROTO;
	if (q->arg[2] & NT_HELLO_KERNEL) {
		r = kernel_may();
		if (r < 0)
			return r;
		c->kernel = c->broker->kernel = true;
	}
	c->role = (u32)q->arg[1];
	c->allow_write = q->arg[2] & NT_HELLO_ALLOW_WRITE;
	return NT_WIRE_VERSION;
}

static s64 server_pollable(struct call *k, int fd)
{
	struct object *o;
	int r = object_by_fd(k->c, fd, OBJECT_NKINDS, &o);

	if (r < 0 || (o->kind != OBJECT_MAP && o->kind != OBJECT_OUTPUT)) {
		k->native = true;
		return 0;
	}
	r = o->kind == OBJECT_MAP ? object_map_pollable(object_to_map(o)) : object_output_pollable(object_to_output(o));
	if (r < 0)
		return r;
	k->ret_fd = dup(r);
	return k->ret_fd < 0 ? -errno : 0;
}

static s64 server_give_fd(struct call *k, int fd)
{
	if (fd < 0)
		return fd;
	k->ret_fd = fd;
	return 0;
}

static s64 server_dispatch(struct call *k, const struct nt_request *q)
{
	const u64 *a = q->arg;

	if (q->op == NT_OP_HELLO)
		return server_hello(k->c, q);
	if (!k->c->role)
		return -EPROTO;
	switch (q->op) {
	case NT_OP_BPF: k->loader_call = a[3]; return cmd_bpf(k, a[0], a[1], a[2]);
	case NT_OP_PERF_OPEN: return cmd_perf_open(k, a[0], (s32)a[1], (s32)a[2], (s32)a[3], a[4]);
	case NT_OP_IOCTL: return cmd_ioctl(k, (int)a[0], a[1], a[2]);
	case NT_OP_MMAP: return cmd_mmap(k, (int)a[0], a[1], a[2], a[3], a[4], a[5]);
	case NT_OP_ARENA: return cmd_arena_mapped(k, (int)a[0], a[1], a[2]);
	case NT_OP_MAP_VIEW: return cmd_map_view(k, (int)a[0], a[1]);
	case NT_OP_MAP_MEMORY: return cmd_map_memory(k, (int)a[0]);
	case NT_OP_POLLABLE: return server_pollable(k, (int)a[0]);
	case NT_OP_SYNC:
		object_reap(k->b);
		if (k->b->kernel)
			relay_drain_all(k->b);
		return 0;
	case NT_OP_FDINFO: return cmd_fdinfo(k, (int)a[0]);
	case NT_OP_QUERY: return a[0] == NT_QUERY_PS ? server_give_fd(k, query_ps(k->b)) : -EINVAL;
	case NT_OP_RUN_LEFT: run_left(k->b, k->c->pid, a[0]); return 0;
	case NT_OP_TRACE: return server_give_fd(k, trace_subscribe(k->b->trace));
	case NT_OP_BORN: return k->b->engine ? engine_born(k->b, k->c, q, &k->seq) : 0;
	case NT_OP_LISTEN: return notify_listen(k->b, k->c, (int)a[0]);
	case NT_OP_STOP: return broker_leave(k->b, a[0] == 1);
	}
	return -EPROTO;
}

/* False: the client is gone or does not read its answers. */
static bool server_answer(struct client *c, const struct nt_request *q)
{
	struct call k = {.b = c->broker, .c = c, .ret_fd = -1, .seq = q->seq};
	struct nt_reply reply = {};
	size_t text;
	int r;

	reply.ret = server_dispatch(&k, q);
	reply.seq = k.seq;
	if (k.native)
		reply.flags |= NT_REPLY_NATIVE;
	if (k.instead)
		reply.flags |= NT_REPLY_INSTEAD;
	if (k.arena)
		reply.flags |= NT_REPLY_ARENA;
	if (k.ret_fd >= 0)
		reply.flags |= NT_REPLY_FD;
	if (k.has_run && reply.ret >= 0) {
		reply.flags |= NT_REPLY_RUN;
		reply.run = k.run;
	}
	text = bits_min(strlen(k.notice), sizeof(reply.text));
	memcpy(reply.text, k.notice, text);
	reply.text_len = (u32)text;
	r = ipc_send(c->sock, &reply, offsetof(struct nt_reply, text) + text, k.ret_fd);
	if (k.ret_fd >= 0) {
		close(k.ret_fd);
		if (r < 0)
			object_reap(c->broker); /* the only copy was ours */
	}
	return r == 0;
}

static void server_request(struct loop_source *s, u32 events, void *arg)
{
	struct client *c = arg;
	struct nt_request q;
	int fd = -1;
	long n = ipc_recv(c->sock, &q, sizeof(q), &fd);

	if (fd >= 0)
		close(fd); /* nobody was asked for one */
	if (n == -EAGAIN)
		return;
	if (n != sizeof(q) || !server_answer(c, &q))
		client_free(c);
}

static void server_exited(struct loop_source *s, u32 events, void *arg)
{
	client_free(arg);
}

static int client_identify(struct client *c, pid_t pid)
{
	struct proc_status status;
	int r;

	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->pidfd < 0)
		return -errno;
	r = proc_status_read(pid, &status);
	if (r < 0 || status.euid != geteuid()) {
		fd_closep(&c->pidfd);
		return r < 0 ? r : -EPERM;
	}
	c->pid = pid;
	c->uid = status.euid;
	c->role = NT_ROLE_SHIM;
	return 0;
}

/* The process at the other end, pinned so that its pid cannot come to mean another one. */
static int server_identify(int sock, struct client *c)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	if (cred.uid != geteuid() || cred.pid <= 0)
		return -EPERM;
	c->pid = cred.pid;
	c->uid = cred.uid;
	c->pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
	return c->pidfd < 0 ? -errno : 0;
}

static int client_new(struct broker *b, int sock, pid_t pid, struct client **ret)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->broker = b;
	c->sock = c->pidfd = -1;
	r = sock < 0 ? client_identify(c, pid) : server_identify(sock, c);
	if (!r && sock >= 0)
		r = loop_add(b->loop, sock, EPOLLIN, server_request, c, &c->source);
	if (!r)
		r = loop_add(b->loop, c->pidfd, EPOLLIN, server_exited, c, &c->exit);
	if (r < 0) {
		loop_source_free(c->source);
		fd_closep(&c->pidfd);
		free(c);
		return r;
	}
	c->sock = sock;
	DL_APPEND(b->clients, c);
	if (ret)
		*ret = c;
	return 0;
}

struct client *server_client_of(struct broker *b, pid_t pid)
{
	struct client *c;

	DL_FOREACH(b->clients, c)
	{
		if (c->pid == pid)
			return c;
	}
	return client_new(b, -1, pid, &c) < 0 ? NULL : c;
}

/* Without a descriptor to take it, a connection would wait for ever, and we would be told of it again and again. */
static void turn_away(struct server *s)
{
	int sock;

	fd_closep(&s->spare);
	sock = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	if (sock >= 0) {
		log_error("a client was not accepted: %s", strerror(EMFILE));
		close(sock);
	}
	s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void server_accept(struct loop_source *source, u32 events, void *arg)
{
	struct server *s = arg;
	int sock = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (sock < 0 && (errno == EMFILE || errno == ENFILE))
		turn_away(s);
	if (sock < 0)
		return;
	r = client_new(s->broker, sock, 0, NULL);
	if (r < 0) {
		log_error("a client was not accepted: %s", strerror(-r));
		close(sock);
	}
}

int server_new(struct broker *b, struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->broker = b;
	s->spare = -1;
	s->listener = ipc_listen(b->dir);
	r = s->listener < 0 ? s->listener
			    : loop_add(b->loop, s->listener, EPOLLIN, server_accept, s, &s->source);
	if (!r) {
		s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (s->spare < 0)
			r = -errno;
	}
	if (r < 0) {
		loop_source_free(s->source);
		fd_closep(&s->listener);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	loop_source_free(s->source);
	fd_closep(&s->listener);
	fd_closep(&s->spare);
	while (s->broker->clients)
		client_free(s->broker->clients);
	free(s);
}
