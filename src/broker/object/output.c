/* SPDX-License-Identifier: MIT */
/*
 * Ranges of the arena are given out next to each other, round and round: a producer in a target that still writes to an
 * event which has just been closed hits pages that nobody has got again yet.
 */
#include "broker/object/output.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "broker/broker.h"
#include "util/fd.h"

struct output_range {
	u32 page, n;
	struct output_range *next; /* by page */
};

struct output_arena {
	int fd;
	u8 *base;
	struct output_range *ranges;
	u32 cursor; /* where the next range is looked for */
};

static int arena_open(struct output_arena *a)
{
	a->fd = memfd_create("bpf-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (a->fd < 0)
		return -errno;
	if (ftruncate(a->fd, (off_t)NT_OUT_ARENA_SIZE) < 0 ||
	    fcntl(a->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	a->base = mmap(NULL, NT_OUT_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, a->fd, 0);
	if (a->base == MAP_FAILED) {
		a->base = NULL;
		return -ENOMEM;
	}
	a->cursor = 1; /* page 0 means none */
	return 0;
}

int output_arena_fd(struct broker *b)
{
	int r;

	if (!b->outputs) {
		b->outputs = calloc(1, sizeof(*b->outputs));
		if (!b->outputs)
			return -ENOMEM;
		r = arena_open(b->outputs);
		if (r < 0) {
			output_arena_free(b);
			return r;
		}
	}
	return b->outputs->fd;
}

void output_arena_free(struct broker *b)
{
	struct output_arena *a = b->outputs;

	if (!a)
		return;
	while (a->ranges) {
		struct output_range *r = a->ranges;

		a->ranges = r->next;
		free(r);
	}
	if (a->base)
		munmap(a->base, NT_OUT_ARENA_SIZE);
	fd_closep(&a->fd);
	free(a);
	b->outputs = NULL;
}

u8 *output_arena_base(struct broker *b)
{
	return b->outputs ? b->outputs->base : NULL;
}

/* The first gap of n pages at or behind `from`; *ret_link is where its range belongs in the list. 0: there is none. */
static u32 arena_gap(struct output_arena *a, u32 from, u32 n, struct output_range ***ret_link)
{
	struct output_range **link = &a->ranges;
	u32 page = from;

	for (; *link && (*link)->page < page + n; link = &(*link)->next)
		page = bits_max(page, (*link)->page + (*link)->n);
	*ret_link = link;
	return page + n <= NT_OUT_ARENA_PAGES ? page : 0;
}

static int arena_take(struct output_arena *a, u32 n, u32 *ret_page)
{
	struct output_range *r = malloc(sizeof(*r)), **link;
	u32 page;

	if (!r)
		return -ENOMEM;
	page = arena_gap(a, a->cursor, n, &link);
	if (!page)
		page = arena_gap(a, 1, n, &link);
	if (!page) {
		free(r);
		return -ENOMEM;
	}
	*r = (struct output_range){page, n, *link};
	*link = r;
	a->cursor = page + n;
	*ret_page = page;
	return 0;
}

static void arena_give(struct output_arena *a, u32 page)
{
	for (struct output_range **link = &a->ranges; *link; link = &(*link)->next) {
		struct output_range *r = *link;

		if (r->page != page)
			continue;
		fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r->page * NT_PAGE,
			  (off_t)r->n * NT_PAGE);
		*link = r->next;
		free(r);
		return;
	}
}

struct nt_out_ctl *object_output_ctl(const struct object_output *o)
{
	return (struct nt_out_ctl *)(o->obj.broker->outputs->base + (u64)o->ctl_page * NT_PAGE);
}

static void output_free(struct object *obj)
{
	struct object_output *o = object_to_output(obj);

	if (o->ring_page)
		arena_give(obj->broker->outputs, o->ring_page);
	if (o->ctl_page)
		arena_give(obj->broker->outputs, o->ctl_page);
	fd_closep(&o->pollable_fd);
	free(o);
}

int object_output_new(struct broker *b, const struct output_spec *spec, struct object_output **ret)
{
	struct object_output *o;
	struct nt_out_ctl *ctl;
	int r = output_arena_fd(b);

	if (r < 0)
		return r;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->pollable_fd = -1;
	o->wake_bytes = spec->wake_bytes;
	object_init(&o->obj, b, OBJECT_OUTPUT, output_free);
	r = arena_take(b->outputs, 1, &o->ctl_page);
	if (r < 0) {
		object_unref(&o->obj);
		return r;
	}
	ctl = object_output_ctl(o);
	*ctl = (struct nt_out_ctl){
	    .cpu = spec->cpu,
	    .id = o->obj.id,
	    .wake_events = spec->wake_events,
	    .flags = spec->disabled ? NT_OUT_DISABLED : 0,
	};
	*ret = o;
	return 0;
}

/* perf_mmap(), ring_buffer_init(), perf_event_init_userpage() */
int object_output_map(struct object_output *o, u64 length, bool writable, u64 *ret_off)
{
	struct output_arena *a = o->obj.broker->outputs;
	u64 pages = (length + NT_PAGE - 1) / NT_PAGE, data = (pages - 1) * NT_PAGE;
	struct nt_out_ctl *ctl = object_output_ctl(o);
	struct perf_event_mmap_page *page;
	u32 order;
	int r;

	/* A page alone has no room for records; the kernel allows it for counters. */
	if (!length || pages < 2 || !bits_is_pow2(pages - 1))
		return -EINVAL;
	order = (u32)__builtin_ctzll(pages - 1);
	if (order > NT_OUT_ORDER_MAX)
		return -ENOMEM;
	if (o->ring_page) {
		*ret_off = (u64)o->ring_page * NT_PAGE;
		return order == o->order ? 0 : -EINVAL;
	}
	r = arena_take(a, (u32)pages, &o->ring_page);
	if (r < 0)
		return r;
	o->order = order;
	page = (struct perf_event_mmap_page *)(a->base + (u64)o->ring_page * NT_PAGE);
	page->size = offsetof(struct perf_event_mmap_page, __reserved);
	page->cap_bit0_is_deprecated = 1;
	page->data_offset = NT_PAGE;
	page->data_size = data;
	at_store(&ctl->order, order);
	at_store(&ctl->wake_bytes, o->wake_bytes && o->wake_bytes < data ? o->wake_bytes : data / 2);
	if (!writable)
		ctl->flags |= NT_OUT_OVERWRITE;
	at_store_rel(&ctl->ring, o->ring_page);
	*ret_off = (u64)o->ring_page * NT_PAGE;
	return 0;
}

void object_output_enable(struct object_output *o, bool on)
{
	struct nt_out_ctl *ctl = object_output_ctl(o);

	at_store(&ctl->flags, on ? ctl->flags & ~NT_OUT_DISABLED : ctl->flags | NT_OUT_DISABLED);
}

int object_output_pollable(struct object_output *o)
{
	struct nt_out_ctl *ctl = object_output_ctl(o);

	if (o->pollable_fd < 0) {
		o->pollable_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (o->pollable_fd < 0)
			return -errno;
	}
	/* A producer may have rung already, for this reader or when there was none yet. */
	if (!at_xchg(&ctl->armed, 1u) && at_load(&ctl->head))
		eventfd_write(o->pollable_fd, 1);
	return o->pollable_fd;
}

void object_output_kick_rung(struct broker *b)
{
	for (struct object *obj = b->objects.by_id[OBJECT_OUTPUT]; obj; obj = obj->hh.next) {
		struct object_output *o = object_to_output(obj);
		struct nt_out_ctl *ctl = object_output_ctl(o);

		if (o->pollable_fd < 0 || at_load(&ctl->armed))
			continue;
		at_xchg(&ctl->armed, 1u);
		eventfd_write(o->pollable_fd, 1);
	}
}
