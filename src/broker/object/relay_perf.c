/* SPDX-License-Identifier: MIT */
#include "broker/object/relay_perf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "broker/broker.h"
#include "broker/object/kernel.h"
#include "broker/object/output.h"
#include "broker/object/twin.h"
#include "maps/maps.h"
#include "util/fd.h"

#define DATA_PAGES 64u /* of each CPU at least; else as many as the loader has */

struct cpu_event {
	struct relay_perf *relay;
	struct object_output *out; /* the loader's: alive as long as it is in the map */
	u32 index;
	int fd;
	u8 *ring;
	u64 size; /* of its data, a power of two */
	struct loop_source *ready;
};

struct relay_perf {
	struct object_map *m;
	struct cpu_event **event; /* [max_entries], NULL: none */
	u8 *record;		  /* one that goes around the end of the data */
};

static void event_free(struct cpu_event *e)
{
	if (!e)
		return;
	loop_source_free(e->ready);
	if (e->ring)
		munmap(e->ring, NT_PAGE + e->size);
	fd_closep(&e->fd);
	free(e);
}

/* PERF_RECORD_SAMPLE with PERF_SAMPLE_RAW, or PERF_RECORD_LOST. */
static void record_pass(struct cpu_event *e, const struct perf_event_header *h)
{
	struct object_map *m = e->relay->m;
	const u8 *body = (const u8 *)(h + 1);
	struct nt_map_view v = m->view;
	struct nt_out_ctl *wake = NULL;
	u64 lost;
	u32 size;

	v.outputs = output_arena_base(m->obj.broker);
	if (h->type == PERF_RECORD_LOST && h->size >= sizeof(*h) + 16) {
		memcpy(&lost, body + 8, sizeof(lost));
		at_add(&object_output_ctl(e->out)->lost, lost);
	}
	if (h->type != PERF_RECORD_SAMPLE || h->size < sizeof(*h) + sizeof(size))
		return;
	memcpy(&size, body, sizeof(size));
	if (size <= h->size - sizeof(*h) - sizeof(size))
		output_event(&v, &m->obj.broker->caller, body + sizeof(size), size, e->index, &wake);
	if (wake && at_xchg(&wake->armed, 0u)) /* as a producer in a target does */
		object_output_kick_rung(m->obj.broker);
}

static void event_pass(struct cpu_event *e)
{
	struct perf_event_mmap_page *page = (struct perf_event_mmap_page *)e->ring;
	u64 head = at_load_acq(&page->data_head), at = page->data_tail;
	const u8 *data = e->ring + NT_PAGE;

	while (at < head) {
		u64 off = at & (e->size - 1);
		const struct perf_event_header *h = (const struct perf_event_header *)(const void *)(data + off);
		u64 first = e->size - off;

		if (h->size < sizeof(*h))
			break;
		if (h->size > first) {
			memcpy(e->relay->record, h, first);
			memcpy(e->relay->record + first, data, h->size - first);
			h = (const struct perf_event_header *)(const void *)e->relay->record;
		}
		record_pass(e, h);
		at += h->size;
		at_store_rel(&page->data_tail, at);
	}
}

static void event_ready(struct loop_source *s, u32 events, void *arg)
{
	event_pass(arg);
}

void relay_perf_pass(struct relay_perf *r)
{
	for (u32 i = 0; i < r->m->view.max_entries; i++)
		if (r->event[i])
			event_pass(r->event[i]);
}

static int event_open(struct cpu_event *e)
{
	struct perf_event_attr a = {
	    .type = PERF_TYPE_SOFTWARE,
	    .config = PERF_COUNT_SW_BPF_OUTPUT,
	    .size = sizeof(a),
	    .sample_type = PERF_SAMPLE_RAW,
	    .sample_period = 1,
	    .wakeup_events = 1,
	};
	union bpf_attr u = {.key = (u64)&e->index, .value = (u64)&e->fd, .flags = BPF_ANY};
	void *at;

	e->size = (u64)NT_PAGE * bits_max(DATA_PAGES, e->out->ring_page ? 1u << e->out->order : 0u);
	e->fd = (int)syscall(SYS_perf_event_open, &a, -1, (int)object_output_ctl(e->out)->cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (e->fd < 0)
		return -errno;
	at = mmap(NULL, NT_PAGE + e->size, PROT_READ | PROT_WRITE, MAP_SHARED, e->fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	e->ring = at;
	u.map_fd = (u32)e->relay->m->twin->fd;
	if (ioctl(e->fd, PERF_EVENT_IOC_ENABLE, 0) < 0)
		return -errno;
	return kernel_bpf(BPF_MAP_UPDATE_ELEM, &u, sizeof(u));
}

static void event_take(struct relay_perf *r, u32 index)
{
	union bpf_attr u = {.map_fd = (u32)r->m->twin->fd, .key = (u64)&index};

	if (!r->event[index])
		return;
	kernel_bpf(BPF_MAP_DELETE_ELEM, &u, sizeof(u));
	event_pass(r->event[index]);
	event_free(r->event[index]);
	r->event[index] = NULL;
}

int relay_perf_event(struct relay_perf *r, u32 index, struct object *o)
{
	struct cpu_event *e;
	int n;

	if (index >= r->m->view.max_entries)
		return -E2BIG;
	event_take(r, index);
	if (!o)
		return 0;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct cpu_event){.relay = r, .out = object_to_output(o), .index = index, .fd = -1};
	n = event_open(e);
	if (!n)
		n = loop_add(r->m->obj.broker->loop, e->fd, EPOLLIN | EPOLLET, event_ready, e, &e->ready);
	if (n < 0) {
		event_free(e);
		return n;
	}
	r->event[index] = e;
	return 0;
}

int relay_perf_new(struct object_map *m, struct relay_perf **ret)
{
	struct relay_perf *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->m = m;
	r->event = calloc(m->view.max_entries, sizeof(struct cpu_event *));
	r->record = malloc(UINT16_MAX + 1);
	if (!r->event || !r->record) {
		relay_perf_free(r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

void relay_perf_free(struct relay_perf *r)
{
	if (!r)
		return;
	for (u32 i = 0; r->event && i < r->m->view.max_entries; i++)
		event_free(r->event[i]);
	free(r->event);
	free(r->record);
	free(r);
}
