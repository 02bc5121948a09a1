/* SPDX-License-Identifier: MIT */
/*
 * An element of a map of maps is the inner map's id, in memory that all processes share. Where that map is in a process
 * says nt_state.inner, a hash table from ids to views; so what the loader stores is in force everywhere at once, only
 * the map must be there before its id is. A program may hold the pointer to a view for as long as it runs: views never
 * change, and what was mapped for an outer map goes when no program of the process uses the outer map any more.
 */
#include "broker/link/inner.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "broker/link/remote.h"
#include "broker/link/steady.h"
#include "broker/object/slots.h"
#include "util/log.h"

static u64 inner_at(const struct process *p, u32 i)
{
	return p->state + offsetof(struct nt_state, inner) + (u64)i * sizeof(struct nt_inner);
}

/* The entry of id, or the first that it may take. -ENOENT and -ENOSPC. */
static int inner_find(struct process *p, u32 id, bool free_one, u32 *ret)
{
	for (u32 n = 0; n < NT_MAX_INNER; n++) {
		u32 i = (id + n) % NT_MAX_INNER;
		struct nt_inner e;
		int r = inject_read(&p->target, inner_at(p, i), &e, sizeof(e));

		if (r)
			return r;
		if (e.id == id || (free_one && (!e.id || e.id == NT_INNER_GONE))) {
			*ret = i;
			return 0;
		}
		if (!e.id)
			return -ENOENT;
	}
	return free_one ? -ENOSPC : -ENOENT;
}

/* A page with the view, then the entry: first where, then which. */
static int inner_publish(struct process *p, struct process_map *pm, const struct object_map *m)
{
	struct nt_map_view view;
	s64 page = remote_mmap(p, 0, NT_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 at;
	u32 i;
	int r;

	if (remote_failed(page))
		return (int)page;
	process_map_view(p, m, &view);
	pm->is_ring = view.type == BPF_MAP_TYPE_RINGBUF;
	pm->view = (u64)page;
	r = inject_write(&p->target, pm->view, &view, sizeof(view));
	if (!r && pm->is_ring)
		r = process_rings_change(p, &pm->view, 1, true);
	if (!r)
		r = inner_find(p, pm->id, true, &i);
	if (r)
		return r;
	at = inner_at(p, i);
	r = inject_write(&p->target, at + offsetof(struct nt_inner, view), &pm->view, sizeof(pm->view));
	if (!r)
		r = inject_write(&p->target, at + offsetof(struct nt_inner, id), &pm->id, sizeof(pm->id));
	return r;
}

static bool inner_is_held(const struct process_map *outer, u32 id)
{
	for (u32 i = 0; i < outer->nheld; i++)
		if (outer->held[i] == id)
			return true;
	return false;
}

static int inner_hold(struct process *p, struct process_map *outer, struct object_map *m)
{
	struct process_map *pm;
	u32 *grown;
	int r;

	if (inner_is_held(outer, m->obj.id))
		return 0;
	grown = realloc(outer->held, (outer->nheld + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	outer->held = grown;
	r = process_borrow(p);
	if (r)
		return r;
	r = process_map_get(p, m);
	if (!r) {
		HASH_FIND_INT(p->maps, &m->obj.id, pm);
		outer->held[outer->nheld++] = m->obj.id;
		if (!pm->view)
			r = inner_publish(p, pm, m);
	}
	process_give_back(p);
	return r;
}

static void inner_hold_or_log(struct process *p, struct process_map *outer, struct object_map *m)
{
	int r = inner_hold(p, outer, m);

	if (r)
		log_info("pid %d (%s): its programs do not find map %s in its outer map: %s", p->pid, p->comm, m->name,
			 strerror(-r));
}

void inner_map_all(struct process *p, const struct object_prog *prog)
{
	for (u32 i = 0; i < prog->nmaps; i++) {
		struct object_map *m = prog->maps[i];
		struct process_map *outer;

		HASH_FIND_INT(p->maps, &m->obj.id, outer);
		if (!outer || !map_is_of_maps(m->view.type))
			continue;
		for (struct map_slot *s = object_slots_first(m); s; s = object_slots_next(s))
			inner_hold_or_log(p, outer, object_to_map(object_slot_object(s)));
	}
}

void inner_unmap(struct process *p, struct process_map *outer)
{
	static const u32 gone = NT_INNER_GONE;

	for (u32 n = 0; n < outer->nheld; n++) {
		struct process_map *pm;
		u32 i;

		HASH_FIND_INT(p->maps, &outer->held[n], pm);
		if (!pm)
			continue;
		if (pm->refs == 1 && pm->view) {
			if (!inner_find(p, pm->id, false, &i))
				inject_write(&p->target, inner_at(p, i) + offsetof(struct nt_inner, id), &gone, sizeof(gone));
			if (pm->is_ring)
				process_rings_change(p, &pm->view, 1, false);
			remote_munmap(p, pm->view, NT_PAGE);
			pm->view = 0;
		}
		process_map_put(p, pm);
	}
	free(outer->held);
	outer->held = NULL;
	outer->nheld = 0;
}

struct arrival {
	struct engine *e;
	struct object_map *outer, *inner;
};

static void arrive_steadily(void *arg)
{
	const struct arrival *a = arg;
	struct process *p, *tmp;

	HASH_ITER(hh, a->e->processes, p, tmp) {
		struct process_map *outer;

		HASH_FIND_INT(p->maps, &a->outer->obj.id, outer);
		if (outer && p->injected && process_alive(p))
			inner_hold_or_log(p, outer, a->inner);
	}
}

void link_inner_map_add(struct broker *b, struct object_map *outer, struct object_map *inner)
{
	if (b->engine)
		steady_run(b->engine, arrive_steadily, &(struct arrival){ b->engine, outer, inner });
}
