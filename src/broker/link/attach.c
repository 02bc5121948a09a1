/* SPDX-License-Identifier: MIT */
/*
 * One batch: some sites of one module of one process get the jumps that their consumer lists ask for.
 *
 *   1. outside, nothing stopped: which list each site has now (shapes), programs mapped, room found, region built and
 *      written, the new bytes of whole runs of code prepared
 *   2. all threads stopped: the runs are read again and must be as they were; a thread inside a window, or a signal
 *      frame that will return into one, is moved to the relocated copy; the runs are written
 *   3. resumed; the records follow
 *
 * Nothing of 1 is visible to the target's threads, so a failure there only has to free memory. In 2 every byte written
 * is one jump or one original window; when a write fails half-way, what was written before is put back.
 */
#include "broker/link/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/bits.h"
#include "broker/link/adopt.h"
#include "broker/link/batch.h"
#include "broker/link/compact.h"
#include "broker/link/exits.h"
#include "broker/link/gate.h"
#include "broker/link/returns.h"
#include "broker/link/steady.h"
#include "broker/link/semaphore.h"
#include "broker/link/signal_frame.h"
#include "broker/link/unwind.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

#define STOP_TIMEOUT_MS 2000u
#define SCAN_LIMIT (128u * 1024u)
#define SYSCALL_LEN 2u
#define SMALL 8u /* sites of a batch that may use the spare */

/* --- 2: the stop --- */

/* The first write that ends behind pc, or nwrites. They are sorted and disjoint. */
static u32 write_behind(const struct batch *b, u64 pc)
{
	u32 lo = 0, hi = b->nwrites;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (b->write[mid].addr + b->write[mid].len <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The place in a relocated copy where a thread at pc, in a window or among instructions that make room, has to go on;
 * 0 = no need. What is displaced but not written over goes on where it stands. */
static u64 moved_pc(const struct batch *b, u64 pc)
{
	u32 i = write_behind(b, pc);
	const struct batch_write *w = &b->write[i];
	const struct region_site *s;
	u32 off;

	if (i == b->nwrites || pc < w->addr || w->placed == ~0u || b->placed[w->placed].error)
		return 0;
	s = &b->placed[w->placed];
	off = w->far ? region_moved_victim(s, w->addr, pc) : region_moved(s, pc);
	return off ? b->region.base + off : 0;
}

static bool write_ends_hop(const struct batch_write *w)
{
	return w->placed == ~0u && w->far;
}

static bool ends_hops(const struct batch *b)
{
	for (u32 i = 0; i < b->nwrites; i++)
		if (write_ends_hop(&b->write[i]))
			return true;
	return false;
}

/* On the second of two jumps, which is taken away: the jump that led there did nothing else, so back to it. 0 = not
 * there. */
static u64 off_hop_pc(const struct batch *b, u64 pc)
{
	const struct batch_write *w = &b->write[write_behind(b, pc)];

	if (w == b->write + b->nwrites || !write_ends_hop(w) || pc != patch_plan_hop(&w->site->plan) + b->m->bias)
		return 0;
	return patch_plan_at(&w->site->plan) + b->m->bias;
}

static u64 new_pc(const struct batch *b, u64 pc)
{
	u64 to = moved_pc(b, pc);

	return to ? to : off_hop_pc(b, pc);
}

struct frame_fix {
	struct batch *b;
	int error;
};

static void fix_signal_frame(u64 word, u64 addr, u32 thread, void *arg)
{
	struct frame_fix *f = arg;
	u64 to = new_pc(f->b, word);

	if (!to || !signal_frame_at(f->b->p, addr))
		return;
	if (inject_write(&f->b->p->target, addr, &to, sizeof(to)))
		f->error = -EFAULT;
}

static void fix_thread(struct batch *b, u32 i)
{
	struct inject_target *t = &b->p->target;
	u64 pc = t->thread[i].regs.rip, to;

	if (inject_restarts(t, i)) { /* the instruction that counts is the system call in front of it */
		to = moved_pc(b, pc - SYSCALL_LEN);
		if (to)
			inject_set_pc(t, i, to + SYSCALL_LEN);
		return;
	}
	to = new_pc(b, pc);
	if (to)
		inject_set_pc(t, i, to);
}

static u64 fix_home(u64 pc, void *arg)
{
	return new_pc(arg, pc);
}

static int fix_threads(struct batch *b)
{
	struct inject_target *t = &b->p->target;
	struct frame_fix f = { .b = b };
	int r;

	if (!b->nplaced && !ends_hops(b))
		return 0;
	for (u32 i = 0; i < t->nthreads; i++) {
		if (!t->thread[i].stopped || t->thread[i].gone)
			continue;
		r = inject_regs(t, i);
		if (r == -ESRCH)
			continue;
		if (r)
			return r;
		fix_thread(b, i);
	}
	inject_homes_each(t, fix_home, b);
	r = inject_scan_stacks(t, b->write[0].addr, b->write[b->nwrites - 1].addr + PATCH_FAR_MAX, SCAN_LIMIT,
			       fix_signal_frame, &f);
	return r < 0 ? r : f.error;
}

static int write_runs(struct batch *b)
{
	struct inject_target *t = &b->p->target;
	int r = 0;
	u32 i;

	for (i = 0; i < b->nruns; i++) {
		r = inject_read(t, b->run[i].lo, b->check, b->run[i].hi - b->run[i].lo);
		if (r)
			return r;
		if (memcmp(b->check, b->before + b->run[i].at, b->run[i].hi - b->run[i].lo))
			return -EAGAIN; /* somebody else writes code here (a debugger, the kernel's uprobes) */
	}
	for (i = 0; i < b->nruns && !r; i++)
		r = inject_write(t, b->run[i].lo, b->after + b->run[i].at, b->run[i].hi - b->run[i].lo);
	if (r)
		while (i--)
			inject_write(t, b->run[i].lo, b->before + b->run[i].at, b->run[i].hi - b->run[i].lo);
	return r;
}

static int batch_commit(struct batch *b)
{
	struct process *p = b->p;
	int r;

	if (b->nplaced || ends_hops(b))
		inject_scan_prepare(&p->target);
	r = inject_stop(&p->target, STOP_TIMEOUT_MS);
	if (r)
		return r;
	r = fix_threads(b);
	if (!r)
		r = inject_settle_pcs(&p->target);
	if (!r)
		r = write_runs(b);
	process_resume(p);
	return r;
}

/* --- 1 and 3 --- */

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

static int region_create(struct batch *b)
{
	struct process *p = b->p;
	u32 bound = (u32)b->region.size; /* of batch_shapes() */
	struct region_layout layout;
	u8 *bytes free_auto = malloc(bound);
	int r;

	if (!bytes)
		return -ENOMEM;
	r = region_build(&p->env, b->shape, b->nshapes, b->placed, b->nplaced, b->region.base, bytes, bound, &layout);
	if (r)
		return r;
	r = inject_write(&p->target, b->region.base, bytes, layout.size);
	if (r)
		return r;
	b->region.code_end = layout.code_end;
	b->region.follow_off = layout.follow_off;
	b->region.ledger_off = layout.ledger_off;
	b->region.nledger = region_ledger_count(b->placed, b->nplaced);
	b->region.data = (struct nt_region){ .base = b->region.base, .size = b->region.size, .nsites = b->region.nledger,
					     .ledger_off = layout.ledger_off, .state = NT_REGION_LIVE,
					     .frames_lo = layout.frames_lo, .frames_hi = layout.frames_hi,
					     .eh_frame_hdr = layout.eh_frame_hdr, .seq = p->engine->seq };
	return process_publish_region(p, &b->region, &b->region.data);
}

static void region_destroy(struct process *p, struct code_region *r)
{
	if (!r->base)
		return;
	r->data = (struct nt_region){ .state = NT_REGION_FREE };
	process_publish_region(p, r, &r->data);
	if (process_give_spare(p, r->base) || process_borrow(p))
		return;
	inject_syscall(&p->target, SYS_munmap, r->base, r->size, 0, 0, 0, 0);
	process_give_back(p);
}

static bool leaves(const struct batch *b, u32 i, const struct code_region *r)
{
	const struct module_patch *mp = &b->m->patch[b->left[i]->id];

	return !mp->busy && mp->region == r;
}

/* Slots were left: their ledger entries must not restore anything any more. One write for all of a region. */
static void ledger_void(struct batch *b, const struct code_region *r)
{
	u64 at = r->base + r->ledger_off, size = r->nledger * sizeof(struct nt_ledger_site);
	struct nt_ledger_site *ledger free_auto = malloc(size + 1);

	if (!ledger || inject_read(&b->p->target, at, ledger, size))
		return;
	for (u32 i = 0; i < b->nleft; i++) {
		u32 first = b->m->patch[b->left[i]->id].ledger, n = 1 + (b->left[i]->plan.far_len != 0);

		if (leaves(b, i, r))
			for (u32 k = first; k < first + n && k < r->nledger; k++)
				ledger[k].addr = 0;
	}
	inject_write(&b->p->target, at, ledger, size);
}

static void batch_leave(struct batch *b)
{
	for (struct code_region *r = b->p->regions; r; r = r->next) {
		u32 n = 0;

		for (u32 i = 0; i < b->nleft; i++)
			n += leaves(b, i, r);
		r->live -= n;
		b->m->patched -= n;
		if (n && r->live) /* a region that loses all its sites is retired as a whole */
			ledger_void(b, r);
	}
	for (u32 i = 0; i < b->nleft; i++)
		if (!b->m->patch[b->left[i]->id].busy)
			b->m->patch[b->left[i]->id].region = NULL;
		else if (!batch_site_wanted(b->p, b->left[i])) /* somebody's breakpoint is on our jump, and will be taken out */
			b->p->unfinished = true;
}

/* Only the state changes, and at no moment is the region not there: an unwinder may be on its way through. */
static void regions_retire(struct process *p)
{
	u64 at = p->state + offsetof(struct nt_state, region) + offsetof(struct nt_region, state);

	for (struct code_region *r = p->regions; r; r = r->next)
		if (!r->live && r->data.state == NT_REGION_LIVE) {
			r->data.state = NT_REGION_OLD;
			inject_write(&p->target, at + sizeof(r->data) * r->index, &r->data.state, sizeof(r->data.state));
		}
}

/* The reference counter is up while somebody is attached, however many they are. */
static void batch_count(struct batch *b, const struct site *s, struct module_patch *mp, bool up)
{
	if (!s->ref_ctr || mp->counted == up)
		return;
	semaphore_add(b->p, b->m->binary, s->ref_ctr, up ? 1 : -1);
	mp->counted = up;
}

static void batch_record(struct batch *b, struct code_region *r)
{
	u32 ledger = 0, mine;

	batch_leave(b);
	for (u32 i = 0; i < b->nplaced; i++) {
		struct module_patch *mp = &b->m->patch[b->placed_site[i]->id];

		mine = ledger;
		ledger += 1 + (b->placed_site[i]->plan.far_len != 0);
		if (b->placed[i].error)
			continue;
		*mp = (struct module_patch){ .region = r, .jump_off = b->placed[i].jump_off,
					     .victim_off = b->placed[i].victim_off, .meta_off = b->placed[i].meta_off,
					     .ledger = mine, .placed = i, .counted = mp->counted };
		r->live++;
		b->m->patched++;
		batch_count(b, b->placed_site[i], mp, true);
	}
	for (u32 i = 0; i < b->nleft; i++)
		if (!b->m->patch[b->left[i]->id].region)
			batch_count(b, b->left[i], &b->m->patch[b->left[i]->id], false);
	regions_retire(b->p);
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
			r = region_create(b);
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
	if (r) {
		region_destroy(p, &b->region);
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
