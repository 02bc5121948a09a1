/* SPDX-License-Identifier: MIT */
/*
 * One batch: some sites of one module of one process get the jumps that their consumer lists ask for.
 *
 *   1. outside, nothing stopped: which list each site has now (shapes), programs mapped, room found, region built and
 *      written, the new bytes of whole runs of code prepared (batch.c, bytes.c)
 *   2. all threads stopped: the runs are read again and must be as they were; a thread inside a window, or a signal
 *      frame that will return into one, is moved to the relocated copy; the runs are written (commit.c)
 *   3. resumed; the records follow (record.c)
 *
 * Nothing of 1 is visible to the target's threads, so a failure there only has to free memory. In 2 every byte written
 * is one jump or one original window; when a write fails half-way, what was written before is put back.
 */
#include "broker/link/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "broker/link/batch.h"
#include "broker/link/compact.h"
#include "broker/link/exits.h"
#include "broker/link/gate.h"
#include "broker/link/returns.h"
#include "broker/link/steady.h"
#include "broker/link/unwind.h"
#include "util/log.h"
#include "util/proc.h"

#define SMALL 8u /* sites of a batch that may use the spare */

static u32 region_free_index(const struct process *p)
{
	for (u32 i = 0; i < NT_MAX_REGIONS; i++) {
		const struct code_region *r = p->regions;

		while (r && r->index != i)
			r = r->next;
		if (!r)
			return i;
	}
	return NT_MAX_REGIONS;
}

static int batch_shapes(struct batch *b)
{
	int r = process_prepare(b->p);

	if (!r)
		r = batch_consumers(b);
	if (!r && b->go)
		r = process_go_stacks(b->p);
	if (r)
		return r;
	b->region.index = region_free_index(b->p);
	b->region.module = b->m;
	b->region.size = bits_round_up(region_bound(b->shape, b->nshapes, b->placed, b->nplaced), NT_PAGE);
	return b->region.index == NT_MAX_REGIONS ? -ENOMEM : 0;
}

/* Everything that takes remote system calls: payload, programs, room for the region. */
static int batch_enter_steps(void *arg)
{
	struct batch *b = arg;
	int r = b->shape ? 0 : batch_shapes(b);

	return r ? r : process_place(b->p, b->m->lo, b->m->hi, b->region.size, &b->region.base);
}

/* A few sites, and all their programs are in the process: nothing needs a borrowed thread but the room. */
static bool batch_is_small(const struct batch *b)
{
	if (!b->p->injected || !process_has_spare(b->p) || b->nplaced > SMALL)
		return false;
	for (u32 i = 0; i < b->nlinks; i++) {
		const struct link *l = b->links[i].link;
		struct process_prog *pp = NULL;

		if (l->prog)
			HASH_FIND_INT(b->p->progs, &l->prog->obj.id, pp);
		if (l->prog && !pp)
			return false;
	}
	return true;
}

static int batch_enter(struct batch *b)
{
	int r;

	if (batch_is_small(b)) {
		r = batch_shapes(b);
		if (r || process_take_spare(b->p, b->m->lo, b->m->hi, b->region.size, &b->region.base))
			return r;
	}
	r = process_borrow(b->p);
	if (r)
		return r;
	r = inject_session(&b->p->target, batch_enter_steps, b);
	process_give_back(b->p);
	return r;
}

static int batch_run(void *arg)
{
	struct batch *b = arg;
	struct process *p = b->p;
	struct code_region *kept = NULL;
	int r = 0;

	if (b->nplaced) {
		kept = calloc(1, sizeof(*kept));
		r = kept ? batch_enter(b) : -ENOMEM;
		if (!r)
			r = batch_make_region(b);
		if (!r)
			r = returns_note(b);
		if (!r)
			r = gates_note(b, &b->region);
		if (!r && b->region.data.frames_lo != b->region.data.frames_hi)
			r = unwind_hook(p);
	}
	for (int tries = 0; !r && tries < 3; tries++) {
		r = batch_prepare_runs(b);
		if (r)
			break;
		r = b->nruns ? batch_commit(b) : 0;
		if (r != -EAGAIN)
			break;
		r = tries < 2 ? 0 : r;
	}
	if (r && kept && b->moved) {
		*kept = b->region;
		batch_abandon_region(p, kept);
		return r;
	}
	if (r) {
		batch_drop_region(p, &b->region);
		free(b->region.ret);
		free(b->region.gate);
		free(kept);
		return r;
	}
	if (kept) {
		*kept = b->region;
		kept->next = p->regions;
		p->regions = kept;
	}
	batch_record(b, kept);
	if (kept)
		returns_forward(b, kept);
	return 0;
}

static int attach_once(struct process *p, struct module *m, struct site *const *site, u32 n)
{
	struct batch b;
	int r = batch_init(&b, p, m, site, n);

	/* With many there is a long time between loan and stop, and a signal would have to wait that long. */
	if (!r && (b.nplaced || b.nleft))
		r = n > ATTACH_MANY ? batch_run(&b) : process_hold(p, batch_run, &b);
	batch_deinit(&b);
	return r;
}

bool attach_again(struct process *p, int err, u32 *tries)
{
	pid_t tracer = 0;

	if (err != -EBUSY || ++*tries > 100 || steady_is_orphan(p->engine))
		return false;
	if (p->opened && p->target.held)
		return false; /* whoever holds it lets go first */
	if (!proc_tracer(p->pid, &tracer) && tracer && !steady_is_broker(p->engine, tracer))
		return false;
	nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	return true;
}

void attach_compact(struct process *p, struct module *m)
{
	if (!p->unfinished)
		compact_regions(p, m, attach_once); /* what cannot be done now is tried the next time */
}

int attach_module(struct process *p, struct module *m, struct site *const *site, u32 n)
{
	bool had_returns = !p->no_returns;
	u32 tries = 0;
	int r = p->injected && !process_alive(p) ? -ESRCH : 0;

	if (r)
		return r;
	if (p->no_returns && exits_spare(m->binary, p->engine)) {
		site = m->binary->site;
		n = m->binary->nsites;
	}
	if (n > ATTACH_MANY)
		steady_take_time(p->engine);
	do
		r = attach_once(p, m, site, n);
	while (attach_again(p, r, &tries));
	if (r == -EOPNOTSUPP && had_returns && p->no_returns) {
		exits_spare(m->binary, p->engine);
		r = attach_once(p, m, m->binary->site, m->binary->nsites);
	}
	if (!r && !p->target.held)
		attach_compact(p, m);
	if (r && (r != -EBUSY || !p->target.held))
		log_error("pid %d (%s): %u sites of %s not changed: %s", p->pid, p->comm, n, m->binary->path,
			  strerror(-r));
	return r;
}

int attach_process(struct process *p, struct binary *b, struct site *const *site, u32 n)
{
	int found = process_scan_modules(p, b);
	int r;

	if (found <= 0)
		return found;
	for (struct module *m = p->modules; m; m = m->next) {
		if (m->binary != b)
			continue;
		r = attach_module(p, m, site, n);
		if (r)
			return r;
	}
	return found;
}
