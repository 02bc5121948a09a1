/* SPDX-License-Identifier: MIT */
#include "broker/link/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "broker/link/unfinished.h"

enum { GATE_FREE, GATE_USED, GATE_HELD };

int gates_note(const struct batch *b, struct code_region *r)
{
	r->gate = malloc((b->nlinks + 1) * sizeof(*r->gate));
	if (!r->gate)
		return -ENOMEM;
	for (u32 i = 0; i < b->nlinks; i++)
		r->gate[r->ngates++] = b->links[i].link->gate;
	return 0;
}

/* Held gates that nobody looks at any more are free again. */
static void gates_sweep(struct engine *e)
{
	static const u8 seen = 0x80;

	if (unfinished_any(e))
		return;
	for (const struct process *p = e->processes; p; p = p->hh.next)
		for (const struct code_region *r = p->regions; r; r = r->next)
			for (u32 i = 0; i < r->ngates; i++)
				e->gate_used[r->gate[i]] |= seen;
	for (u32 i = GATE_FIRST; i < GATES_MAX; i++) {
		if (e->gate_used[i] == GATE_HELD)
			e->gate_used[i] = GATE_FREE;
		e->gate_used[i] &= (u8)~seen;
	}
}

static bool gate_find(struct engine *e, u32 *ret)
{
	for (u32 n = 0; n < GATES_MAX; n++) {
		u32 i = e->gate_next++ % GATES_MAX;

		if (i >= GATE_FIRST && e->gate_used[i] == GATE_FREE) {
			e->gate_used[i] = GATE_USED;
			*ret = i;
			return true;
		}
	}
	return false;
}

int gate_alloc(struct engine *e, u32 *ret)
{
	if (gate_find(e, ret))
		return 0;
	gates_sweep(e);
	return gate_find(e, ret) ? 0 : -ENOSPC;
}

void gate_release(struct engine *e, u32 gate)
{
	e->gate_used[gate] = GATE_HELD;
}
