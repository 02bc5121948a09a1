/* SPDX-License-Identifier: MIT */
/*
 * Waking the readers of a ring buffer.
 *
 * A memfd cannot be polled, so the shim puts an eventfd into the loader's epoll set in the map's
 * place, edge triggered: nobody reads it, each write is one wake-up. A producer that finds its
 * consumer caught up takes the `armed` flag and rings the doorbell; here the flag is set again
 * before the eventfd is written, so a record that comes in between rings again.
 *
 * epoll promises level semantics: a reader that was woken, read half and waits again must wake up
 * again. So as long as the consumer lags behind the producer the eventfd is written every 20 ms.
 *
 * In a user ring buffer it is the loader who writes and waits for room: a drain rings in the same way.
 */
#include "broker/object/ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/eventfd.h>

#include "abi/bpf.h"
#include "base/atomic.h"
#include "broker/broker.h"
#include "util/fd.h"

#define RING_REKICK_MS 20

static struct nt_ring_ctl *ring_ctl(struct object_map *m)
{
	return (struct nt_ring_ctl *)(m->view.base + m->view.ctl_off);
}

static bool ring_has_data(struct object_map *m)
{
	u64 cons = at_load_acq((u64 *)(m->view.base + NT_RING_CONS_OFF));
	u64 prod = at_load_acq((u64 *)(m->view.base + NT_RING_PROD_OFF));

	return cons != prod;
}

/* Who waits to read hears of writes to the eventfd, who waits to write of reads from a full one. */
static void ring_wake(struct object_map *m)
{
	u64 one = 1, full = UINT64_MAX - 1;

	if (m->view.type == NT_BPF_MAP_TYPE_USER_RINGBUF) {
		if (write(m->pollable_fd, &full, sizeof(full)) < 0 || read(m->pollable_fd, &full, sizeof(full)) < 0)
			return;
		return;
	}
	/* Fails only when the counter is full: then the event is pending anyway. */
	if (write(m->pollable_fd, &one, sizeof(one)) < 0)
		return;
}

static void ring_rekick(struct loop_source *s, u32 events, void *arg)
{
	struct object_map *m = arg;

	if (ring_has_data(m))
		ring_wake(m);
	else
		loop_timer_set(s, 0);
}

void object_map_kick(struct object_map *m)
{
	if (m->pollable_fd < 0)
		return;
	at_xchg(&ring_ctl(m)->armed, 1u);
	ring_wake(m);
	loop_timer_set(m->rekick, RING_REKICK_MS);
}

void object_map_kick_rung(struct broker *b)
{
	for (struct object *o = b->objects.by_id[OBJECT_MAP]; o; o = o->hh.next) {
		struct object_map *m = object_to_map(o);

		if (m->pollable_fd >= 0 && !at_load(&ring_ctl(m)->armed))
			object_map_kick(m);
	}
}

static int ring_poll_init(struct object_map *m)
{
	int r;

	m->pollable_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->pollable_fd < 0)
		return -errno;
	r = loop_add_timer(m->obj.broker->loop, 0, ring_rekick, m, &m->rekick);
	if (r < 0)
		fd_closep(&m->pollable_fd);
	return r;
}

int object_map_pollable(struct object_map *m)
{
	int r = 0;

	if (m->view.type != BPF_MAP_TYPE_RINGBUF && m->view.type != NT_BPF_MAP_TYPE_USER_RINGBUF)
		return -EPERM;
	if (m->pollable_fd < 0)
		r = ring_poll_init(m);
	if (r < 0)
		return r;
	at_xchg(&ring_ctl(m)->armed, 1u);
	if (ring_has_data(m))
		object_map_kick(m); /* the new reader finds the set ready at once */
	return m->pollable_fd;
}

void ring_poll_deinit(struct object_map *m)
{
	loop_source_free(m->rekick);
	m->rekick = NULL;
	fd_closep(&m->pollable_fd);
}
