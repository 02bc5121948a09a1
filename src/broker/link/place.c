/* SPDX-License-Identifier: MIT */
/* Room for code regions near the code that jumps there, and their entries in the target's table. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "broker/link/remote.h"
#include "util/proc.h"

struct gap_search {
	u64 lo, hi, size, prev_end, best;
};

#define STACK_ROOM (4ull << 30) /* nobody has ever let a stack grow that far */
#define REACH 0x7f000000ull /* rel32 with room for the region's and the module's own size */

static u64 distance(const struct gap_search *g, u64 base)
{
	u64 end = base + g->size;

	return base < g->lo ? g->hi - base : end - g->lo;
}

static void gap_offer(struct gap_search *g, u64 base)
{
	if (distance(g, base) > REACH || (g->best && distance(g, base) >= distance(g, g->best)))
		return;
	g->best = base;
}

static bool gap_visit(const struct proc_map *map, void *arg)
{
	struct gap_search *g = arg;
	/* A page stays free on both sides; what grows (heap up, stack down) is kept away from. */
	u64 guard = strcmp(map->path, "[stack]") ? NT_PAGE : STACK_ROOM;
	u64 from = g->prev_end + NT_PAGE, to = map->start > guard ? map->start - guard : 0;

	if (map->start > g->prev_end && to > from && to - from >= g->size && map->start < 1ull << 47) {
		if (to <= g->lo)
			gap_offer(g, to - g->size);
		else
			gap_offer(g, from);
	}
	g->prev_end = !strcmp(map->path, "[heap]") ? map->end + (64ull << 20) : map->end;
	return false;
}

int process_place(struct process *p, u64 lo, u64 hi, u32 size, u64 *ret_base)
{
	for (int tries = 0; tries < 4; tries++) {
		struct gap_search g = { .lo = lo, .hi = hi, .size = bits_round_up(size, NT_PAGE), .prev_end = 1 << 20 };
		int r = proc_maps_each(p->pid, gap_visit, &g);
		s64 at;

		if (r)
			return r;
		if (!g.best)
			return -ENOMEM;
		at = remote_mmap(p, g.best, g.size, PROT_READ | PROT_EXEC,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
		if (!remote_failed(at)) {
			*ret_base = (u64)at;
			return 0;
		}
		if (at != -EEXIST)
			return (int)at;
	}
	return -ENOMEM;
}

/* Which spare begins there; PROCESS_SPARES: none. */
static u32 spare_at(const struct process *p, u64 base)
{
	u32 i = 0;

	while (i < PROCESS_SPARES && base != p->spare + i * PROCESS_SPARE_SIZE)
		i++;
	return i;
}

bool process_has_spare(const struct process *p)
{
	return p->spares_used != (1u << PROCESS_SPARES) - 1;
}

bool process_take_spare(struct process *p, u64 lo, u64 hi, u32 size, u64 *ret_base)
{
	struct gap_search g = { .lo = lo, .hi = hi, .size = PROCESS_SPARES * PROCESS_SPARE_SIZE };
	u32 i = 0;

	if (!p->injected || !process_has_spare(p) || size > PROCESS_SPARE_SIZE || distance(&g, p->spare) > REACH)
		return false;
	while (p->spares_used & 1u << i)
		i++;
	p->spares_used |= 1u << i;
	*ret_base = p->spare + i * PROCESS_SPARE_SIZE;
	return true;
}

bool process_is_spare(const struct process *p, u64 base)
{
	return spare_at(p, base) < PROCESS_SPARES;
}

bool process_give_spare(struct process *p, u64 base)
{
	u32 i = spare_at(p, base);

	p->spares_used &= ~(1u << i);
	return i < PROCESS_SPARES;
}

void process_note_spare(struct process *p, u64 base)
{
	p->spares_used |= (1u << spare_at(p, base)) & ((1u << PROCESS_SPARES) - 1);
}

int process_publish_region(struct process *p, struct code_region *r, const struct nt_region *data)
{
	u64 at = p->state + offsetof(struct nt_state, region) + sizeof(*data) * r->index;
	struct nt_region quiet = *data;
	u32 n, want = r->index + 1;
	int err = inject_read(&p->target, p->state + offsetof(struct nt_state, nregions), &n, sizeof(n));

	/* Threads of the target may look at the entry meanwhile: it is void while its fields change. */
	quiet.state = NT_REGION_FREE;
	if (!err)
		err = inject_write(&p->target, at + offsetof(struct nt_region, state), &quiet.state, sizeof(quiet.state));
	if (!err)
		err = inject_write(&p->target, at, &quiet, sizeof(quiet));
	if (!err && data->state != NT_REGION_FREE)
		err = inject_write(&p->target, at + offsetof(struct nt_region, state), &data->state, sizeof(data->state));
	if (!err && n < want)
		err = inject_write(&p->target, p->state + offsetof(struct nt_state, nregions), &want, sizeof(want));
	return err;
}
