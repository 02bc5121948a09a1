/* SPDX-License-Identifier: MIT */
/*
 * An element of a program array is the program's id, in memory that all processes share. Where that program is in a
 * process says nt_state.progs, so what the loader stores is in force everywhere at once; only, the program must be
 * there before its id is. A program that was mapped for an array stays mapped as long as the process lives: tail calls
 * may be on their way to it at any time.
 */
#include "broker/link/progs.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "broker/link/steady.h"
#include "broker/object/slots.h"
#include "util/log.h"

static int publish(struct process *p, const struct process_prog *pp)
{
	struct nt_prog e = { .id = pp->id, .entry = pp->entry - pp->prog->image.entry + pp->prog->image.tail_entry };
	u64 list = p->state + offsetof(struct nt_state, progs);
	u32 n;
	int r = inject_read(&p->target, p->state + offsetof(struct nt_state, nprogs), &n, sizeof(n));

	if (!r && n >= NT_MAX_PROGS)
		r = -ENOSPC;
	if (!r)
		r = inject_write(&p->target, list + n * sizeof(e), &e, sizeof(e));
	n++;
	if (!r)
		r = inject_write(&p->target, p->state + offsetof(struct nt_state, nprogs), &n, sizeof(n));
	return r;
}

static void map_for_array(struct process *p, struct object_prog *prog)
{
	struct process_prog *pp;
	int r = prog->compiled ? process_map_prog(p, prog, &pp) : -EINVAL;

	if (!r && !pp->in_array) {
		r = publish(p, pp);
		pp->in_array = !r;
		pp->held += !r;
	}
	if (r)
		log_info("pid %d (%s): no tail calls to %s: %s", p->pid, p->comm, prog->name, strerror(-r));
}

/* A program finds itself mapped when the arrays lead back to it, so this ends. */
void progs_map_arrays(struct process *p, const struct object_prog *prog)
{
	for (u32 i = 0; i < prog->nmaps; i++) {
		struct object_map *m = prog->maps[i];

		if (m->view.type != BPF_MAP_TYPE_PROG_ARRAY)
			continue;
		for (u32 key = 0; key < m->view.max_entries && m->slots; key++) {
			struct object *o = object_slot_get(m, &key);

			if (o)
				map_for_array(p, object_to_prog(o));
		}
	}
}

struct arrival {
	struct engine *e;
	struct object_map *map;
	struct object_prog *prog;
};

static void arrive_steadily(void *arg)
{
	const struct arrival *a = arg;
	struct process *p, *tmp;

	HASH_ITER(hh, a->e->processes, p, tmp) {
		struct process_map *m;

		HASH_FIND_INT(p->maps, &a->map->obj.id, m);
		if (m && p->injected && process_alive(p))
			map_for_array(p, a->prog);
	}
}

void link_prog_array_add(struct broker *b, struct object_map *m, struct object_prog *prog)
{
	if (b->engine)
		steady_run(b->engine, arrive_steadily, &(struct arrival){ b->engine, m, prog });
}
