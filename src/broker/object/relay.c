/* SPDX-License-Identifier: MIT */
#include "broker/object/relay.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "broker/broker.h"
#include "broker/object/relay_perf.h"
#include "broker/object/twin.h"
#include "maps/maps.h"
#include "util/log.h"

#define LOOK_MS 50  /* for records that were written without waking anybody */
#define FULL_MS 5   /* our ring is full */
#define BATCH 4096u /* records in one go: others want to be served, too */

struct relay {
	struct object_map *m;
	struct loop_source *ready, *timer;
	/* Ring buffer: the twin's memory. */
	u64 *cons;
	u8 *prod; /* the producer's page, then the data, twice */
	u64 size;
	struct relay_perf *perf; /* perf buffer, else NULL */
	bool full;
};

/* One record of the twin's ring. False: there is none, or no room for it. */
static bool ring_one(struct relay *r, bool *ret_wake)
{
	const struct nt_map_view *v = &r->m->view;
	u64 at = *r->cons, prod = at_load_acq((u64 *)(void *)r->prod);
	const u8 *hdr = r->prod + NT_PAGE + (at & (r->size - 1));
	u32 len, size;
	void *to;

	if (at >= prod)
		return false;
	len = at_load_acq((const u32 *)(const void *)hdr);
	if (len & NT_RING_BUSY)
		return false; /* the one who finishes it wakes us */
	size = len & ~(NT_RING_BUSY | NT_RING_DISCARD);
	if (!(len & NT_RING_DISCARD)) {
		if (v->max_entries - bits_min(ring_query(v, BPF_RB_AVAIL_DATA), (u64)v->max_entries) <
		    bits_round_up((u64)size + NT_RING_HDR, 8ull)) {
			r->full = true;
			return false;
		}
		to = ring_reserve(v, &r->m->obj.broker->caller, size);
		if (!to) {
			r->full = true;
			return false;
		}
		memcpy(to, hdr + NT_RING_HDR, size);
		*ret_wake |= ring_submit(v, to, 0, false);
	}
	at_store_rel(r->cons, at + bits_round_up((u64)size + NT_RING_HDR, 8ull));
	return true;
}

static void ring_pass(struct relay *r)
{
	bool wake = false, was_full = r->full;
	u32 n = 0;

	r->full = false;
	while (n < BATCH && ring_one(r, &wake))
		n++;
	if (wake)
		object_map_kick(r->m);
	r->full |= n == BATCH;
	if (r->full != was_full)
		loop_timer_set(r->timer, r->full ? FULL_MS : LOOK_MS);
}

static void pass(struct relay *r)
{
	if (r->perf)
		relay_perf_pass(r->perf);
	else
		ring_pass(r);
}

static void ready(struct loop_source *s, u32 events, void *arg)
{
	pass(arg);
}

static int ring_open(struct relay *r)
{
	int fd = r->m->twin->fd;
	void *at;

	r->size = r->m->view.max_entries;
	at = mmap(NULL, NT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	r->cons = at;
	at = mmap(NULL, NT_PAGE + 2 * r->size, PROT_READ, MAP_SHARED, fd, NT_PAGE);
	if (at == MAP_FAILED)
		return -errno;
	r->prod = at;
	/* Edge triggered: a program wakes whoever had caught up; while we cannot go on a timer looks. */
	return loop_add(r->m->obj.broker->loop, fd, EPOLLIN | EPOLLET, ready, r, &r->ready);
}

int relay_new(struct object_map *m, struct relay **ret)
{
	struct relay *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->m = m;
	e = m->view.type == BPF_MAP_TYPE_RINGBUF ? ring_open(r) : relay_perf_new(m, &r->perf);
	if (!e)
		e = loop_add_timer(m->obj.broker->loop, LOOK_MS, ready, r, &r->timer);
	if (e < 0) {
		relay_free(r);
		return e;
	}
	*ret = r;
	return 0;
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	loop_source_free(r->ready);
	loop_source_free(r->timer);
	if (r->cons)
		munmap(r->cons, NT_PAGE);
	if (r->prod)
		munmap(r->prod, NT_PAGE + 2 * r->size);
	relay_perf_free(r->perf);
	free(r);
}

int relay_event(struct relay *r, u32 index, struct object *o)
{
	return r && r->perf ? relay_perf_event(r->perf, index, o) : 0;
}

void relay_drain_all(struct broker *b)
{
	for (struct object *o = b->objects.by_id[OBJECT_MAP]; o; o = o->hh.next) {
		struct object_map *m = object_to_map(o);

		if (m->twin && m->twin->relay)
			pass(m->twin->relay);
	}
}
