/* SPDX-License-Identifier: MIT */
#include "broker/object/object.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "broker/broker.h"
#include "broker/client.h"
#include "broker/object/map.h"
#include "broker/object/pin.h"
#include "util/fd.h"

void object_init(struct object *o, struct broker *b, u32 kind, void (*free_fn)(struct object *o))
{
	struct object_table *t = &b->objects;

	o->broker = b;
	o->kind = kind;
	o->id = ++t->last_id[kind];
	o->refs = 1;
	o->free = free_fn;
	HASH_ADD(hh, t->by_id[kind], id, sizeof(o->id), o);
}

u32 object_coming_id(struct broker *b, u32 kind)
{
	return b->objects.last_id[kind] + 1;
}

void object_use_id(struct broker *b, u32 kind)
{
	b->objects.last_id[kind]++;
}

struct object *object_ref(struct object *o)
{
	o->refs++;
	return o;
}

void object_unref(struct object *o)
{
	if (!o || --o->refs)
		return;
	HASH_DELETE(hh, o->broker->objects.by_id[o->kind], o);
	o->free(o);
}

struct object *object_by_id(struct broker *b, u32 kind, u32 id)
{
	struct object *o;

	HASH_FIND(hh, b->objects.by_id[kind], &id, sizeof(id), o);
	return o;
}

struct object *object_next(struct broker *b, u32 kind, u32 after)
{
	struct object *best = NULL;

	for (struct object *o = b->objects.by_id[kind]; o; o = o->hh.next)
		if (o->id > after && (!best || o->id < best->id))
			best = o;
	return best;
}

int object_by_fd(struct client *c, int n, u32 kind, struct object **ret)
{
	int mode;

	return object_by_fd_mode(c, n, kind, ret, &mode);
}

int object_by_fd_mode(struct client *c, int n, u32 kind, struct object **ret, int *ret_mode)
{
	int fd fd_auto = client_get_fd(c, n);
	struct object_handle *h;
	struct stat st;
	u64 ino;

	if (fd < 0)
		return -EBADF;
	if (fstat(fd, &st) < 0)
		return -errno;
	ino = st.st_ino;
	HASH_FIND(hh, c->broker->objects.by_ino, &ino, sizeof(ino), h);
	if (h && S_ISSOCK(st.st_mode)) {
		if (kind != OBJECT_NKINDS && h->object->kind != kind)
			return -EINVAL;
		*ret = h->object;
		*ret_mode = O_RDWR;
		return 0;
	}
	if (!S_ISREG(st.st_mode) || (kind != OBJECT_NKINDS && kind != OBJECT_MAP))
		return -EINVAL;
	for (struct object *o = c->broker->objects.by_id[OBJECT_MAP]; o; o = o->hh.next) {
		struct object_map *m = object_to_map(o);

		if (m->ino == ino && m->dev == st.st_dev) {
			*ret = o;
			*ret_mode = fcntl(fd, F_GETFL) & O_ACCMODE;
			return 0;
		}
	}
	return -EINVAL;
}

void object_handle_free(struct object_handle *h)
{
	struct object *o = h->object;

	HASH_DELETE(hh, o->broker->objects.by_ino, h);
	loop_source_free(h->hangup);
	close(h->fd);
	free(h);
	object_unref(o);
}

static void handle_hangup(struct loop_source *s, u32 events, void *arg)
{
	if (events & (EPOLLHUP | EPOLLERR))
		object_handle_free(arg);
}

int object_give(struct object *o, int mode)
{
	struct object_handle *h;
	struct stat st;
	int pair[2], r;

	if (o->kind == OBJECT_MAP)
		return object_map_give(object_to_map(o), mode);
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		r = -errno;
		free(h);
		return r;
	}
	h->fd = pair[0];
	r = fchmod(pair[1], 0600) < 0 || fstat(pair[1], &st) < 0 ? -errno : 0; /* the kernel's have that mode */
	if (!r)
		r = loop_add(o->broker->loop, h->fd, 0, handle_hangup, h, &h->hangup);
	if (r < 0) {
		close(pair[0]);
		close(pair[1]);
		free(h);
		return r;
	}
	h->ino = st.st_ino;
	h->object = object_ref(o);
	HASH_ADD(hh, o->broker->objects.by_ino, ino, sizeof(h->ino), h);
	return pair[1];
}

void object_reap(struct broker *b)
{
	struct object_handle *h, *tmp;

	HASH_ITER(hh, b->objects.by_ino, h, tmp)
	{
		struct pollfd p = {.fd = h->fd};

		if (poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR))
			object_handle_free(h);
	}
	object_map_reap(b);
	pins_reap(b->pins);
}
