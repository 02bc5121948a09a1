/* SPDX-License-Identifier: MIT */
/* The stop of a batch (attach.c): threads and signal frames that are in the way are moved, the bytes are written. */
#include "broker/link/batch.h"

#include <errno.h>
#include <string.h>

#include "broker/link/signal_frame.h"

#define STOP_TIMEOUT_MS 2000u
#define SCAN_LIMIT (128u * 1024u)
#define SYSCALL_LEN 2u

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

/* What is written over pc, and then has a region site; NULL: nothing. */
static const struct batch_write *write_over(const struct batch *b, u64 pc)
{
	u32 i = write_behind(b, pc);
	const struct batch_write *w = &b->write[i];

	return i == b->nwrites || pc < w->addr || w->placed == ~0u || b->placed[w->placed].error ? NULL : w;
}

/* The place in a relocated copy where a thread at pc, in a window or among instructions that make room, has to go on;
 * 0 = no need. What is displaced but not written over goes on where it stands. */
static u64 moved_pc(const struct batch *b, u64 pc)
{
	const struct batch_write *w = write_over(b, pc);
	const struct region_site *s = w ? &b->placed[w->placed] : NULL;
	u32 off;

	if (!w)
		return 0;
	off = w->far ? region_moved_victim(s, w->addr, pc) : region_moved(s, pc);
	return off ? b->region.base + off : 0;
}

/* The same for the system call in front of pc. Even where the call stands at the site pc has to follow it: a signal's handler
 * that comes first may end the call, and return to pc. (No system call is among instructions that make room.) */
static u64 moved_call(const struct batch *b, u64 pc)
{
	const struct batch_write *w = write_over(b, pc - SYSCALL_LEN);
	u32 off = w && !w->far ? region_copy(&b->placed[w->placed], pc - SYSCALL_LEN) : 0;

	return off ? b->region.base + off + SYSCALL_LEN : 0;
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

	to = inject_restarts(t, i) ? moved_call(b, pc) : new_pc(b, pc);
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

/* Before anybody is moved. -EAGAIN: somebody else writes code here (a debugger, the kernel's uprobes). */
static int check_runs(struct batch *b)
{
	for (u32 i = 0; i < b->nruns; i++) {
		u64 size = b->run[i].hi - b->run[i].lo;
		int r = inject_read(&b->p->target, b->run[i].lo, b->check, size);

		if (r)
			return r;
		if (memcmp(b->check, b->before + b->run[i].at, size))
			return -EAGAIN;
	}
	return 0;
}

static int write_runs(struct batch *b)
{
	struct inject_target *t = &b->p->target;
	int r = 0;
	u32 i;

	for (i = 0; i < b->nruns && !r; i++)
		r = inject_write(t, b->run[i].lo, b->after + b->run[i].at, b->run[i].hi - b->run[i].lo);
	if (r)
		while (i--)
			inject_write(t, b->run[i].lo, b->before + b->run[i].at, b->run[i].hi - b->run[i].lo);
	return r;
}

int batch_commit(struct batch *b)
{
	struct process *p = b->p;
	int r;

	if (b->nplaced || ends_hops(b))
		inject_scan_prepare(&p->target);
	r = inject_stop(&p->target, STOP_TIMEOUT_MS);
	if (r)
		return r;
	r = check_runs(b);
	b->moved |= !r;
	if (!r)
		r = fix_threads(b);
	if (!r)
		r = inject_settle_pcs(&p->target);
	if (!r)
		r = write_runs(b);
	process_resume(p);
	return r;
}
