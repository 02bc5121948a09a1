/* SPDX-License-Identifier: MIT */
#include "broker/link/semaphore.h"

#include <sys/mman.h>

#include "util/proc.h"

struct semaphore_search {
	struct process *p;
	u64 off;
	s32 delta;
};

static bool semaphore_visit(const struct proc_map *map, void *arg)
{
	struct semaphore_search *s = arg;
	u64 addr = map->start + (s->off - map->off);
	u16 value;

	if (map->shared || !(map->prot & PROT_WRITE) || s->off < map->off || addr + sizeof(value) > map->end)
		return false;
	if (inject_read(&s->p->target, addr, &value, sizeof(value)) || value + s->delta < 0)
		return false; /* never below zero: somebody else writes there */
	value = (u16)(value + s->delta);
	inject_write(&s->p->target, addr, &value, sizeof(value));
	return false;
}

void semaphore_add(struct process *p, const struct binary *b, u64 off, s32 delta)
{
	struct semaphore_search s = { .p = p, .off = off, .delta = delta };

	proc_maps_of_file(p->pid, (dev_t)b->map_dev, b->key.ino, semaphore_visit, &s);
}
