/* SPDX-License-Identifier: MIT */
/*
 * When is a thread inside our code? Its program counter says so, or that of a signal frame on its stack (a handler
 * interrupted our code), or it is in the vdso on behalf of a helper. Return addresses of thunks on the stack do not
 * count as inside: they only keep their region mapped.
 *
 * The gate of what goes away is shut, and no site jumps any more to regions that are not live. So a thread that has been
 * seen outside once will not come back to either, and the threads need not be outside all at the same moment: with a
 * few that do nothing but call probed functions this would not happen for a long time. The only way back into an old
 * region is a call that has yet to return through its thunk: its entry is in use until the programs of its exit have
 * run, and the few instructions after that are seen as a program counter.
 *
 * A program that has ended may have left signals to be sent. Whose handler runs then, or who is stopped by one, is not
 * inside a program, but its way back leads through our code: what its stack mentions stays (needed).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/bits.h"
#include "broker/link/attach.h"
#include "broker/link/entries.h"
#include "broker/link/payload_blob.h"
#include "broker/link/signal_frame.h"
#include "util/fd.h"

#define STOP_TIMEOUT_MS 1000u
#define SCAN_LIMIT (128u * 1024u)
#define PATIENCE 32u /* regions that nobody jumps to, before we look closer at what keeps them */
#define PAUSE_MAX_NS 8000000l /* between two stops */

static bool is_ours(const struct process *p, u64 pc)
{
	if (pc - p->image < p->state - p->image)
		return true;
	for (const struct process_prog *pp = p->progs; pp; pp = pp->hh.next)
		if (pc - pp->base < pp->size)
			return true;
	for (const struct code_region *r = p->regions; r; r = r->next)
		if (pc - r->base < r->size)
			return true;
	return false;
}

struct survey {
	struct process *p;
	pid_t *outside; /* threads seen outside, in any round */
	u32 noutside, cap;
	bool *inside;	/* by index in target.thread, this round; as many as cap_inside */
	u32 cap_inside;
	u64 pc[256];	/* where threads stand in our code, this round */
	u32 npc;
	bool overflow;
	bool sending;	/* somebody is in the call that sends what a program has left behind, this round */
};

static void survey_deinit(struct survey *s)
{
	free(s->outside);
	free(s->inside);
}

static void survey_pc(struct survey *s, u64 pc, u32 thread)
{
	if (!is_ours(s->p, pc))
		return;
	if (pc == s->p->image + ((const struct nt_payload_hdr *)nt_payload_blob)->sent_pc) {
		s->sending = true;
		return;
	}
	s->inside[thread] = true;
	if (s->npc < 256)
		s->pc[s->npc++] = pc;
	else
		s->overflow = true;
}

/* In a system call among the displaced instructions, maybe for hours. No program is running then, because neither
 * programs nor dispatchers make calls (helpers do, elsewhere): only the slot must stay. */
static bool waits_in_slot(const struct process *p, const struct inject_thread *t)
{
	if ((s64)t->regs.orig_rax < 0)
		return false;
	for (const struct code_region *r = p->regions; r; r = r->next)
		if (t->regs.rip - r->base < r->size)
			return true;
	return false;
}

/* A word on a stack that may be an address to return to. */
static void mention(struct process *p, u64 word)
{
	for (struct process_prog *pp = p->progs; pp; pp = pp->hh.next)
		pp->needed |= word - pp->base < pp->size;
	for (struct code_region *r = p->regions; r; r = r->next)
		r->needed |= word - r->base < r->size;
}

/* Outside of that call what a stack mentions is not needed: it is old, or in the entries. */
static void forget_mentions(struct process *p)
{
	for (struct process_prog *pp = p->progs; pp; pp = pp->hh.next)
		pp->needed = false;
	for (struct code_region *r = p->regions; r; r = r->next)
		r->needed = false;
}

static void survey_word(u64 word, u64 addr, u32 thread, void *arg)
{
	struct survey *s = arg;

	if (!is_ours(s->p, word))
		return;
	mention(s->p, word);
	if (signal_frame_at(s->p, addr))
		survey_pc(s, word, thread);
}

/* A place that a thread comes back to from a call that we have mended: nothing of ours is running, but the place must stay. */
static u64 survey_home(u64 pc, void *arg)
{
	struct survey *s = arg;

	if (is_ours(s->p, pc) && s->npc < 256)
		s->pc[s->npc++] = pc;
	else if (is_ours(s->p, pc))
		s->overflow = true;
	return 0;
}

/* A thread in the vdso has the helper's return address near its stack pointer. */
static void survey_vdso(struct survey *s, u32 thread)
{
	const struct inject_thread *t = &s->p->target.thread[thread];
	u64 clock = 0, words[64];

	if (inject_read(&s->p->target, s->p->state + offsetof(struct nt_state, clock_gettime), &clock, sizeof(clock)) ||
	    !clock || t->regs.rip - (clock & ~0xffffull) >= 0x20000)
		return;
	if (inject_read(&s->p->target, t->regs.rsp & ~7ull, words, sizeof(words)))
		return;
	for (u32 i = 0; i < 64; i++)
		if (words[i] - s->p->image < s->p->state - s->p->image)
			s->inside[thread] = true;
}

static int survey_begin_round(struct survey *s)
{
	u32 n = s->p->target.nthreads;

	if (n > s->cap_inside) {
		bool *more = realloc(s->inside, n * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->inside = more;
		s->cap_inside = n;
	}
	memset(s->inside, 0, n * sizeof(*s->inside));
	s->npc = 0;
	s->overflow = s->sending = false;
	forget_mentions(s->p);
	return 0;
}

static bool seen_outside(const struct survey *s, pid_t tid)
{
	for (u32 i = 0; i < s->noutside; i++)
		if (s->outside[i] == tid)
			return true;
	return false;
}

/* Adds this round's threads; *ret_all: each has been outside at some time. */
static int survey_end_round(struct survey *s, bool *ret_all)
{
	const struct inject_target *t = &s->p->target;

	*ret_all = true;
	for (u32 i = 0; i < t->nthreads; i++) {
		if (!t->thread[i].stopped || t->thread[i].gone || seen_outside(s, t->thread[i].tid))
			continue;
		if (s->inside[i]) {
			*ret_all = false;
			continue;
		}
		if (s->noutside == s->cap) {
			u32 cap = s->cap ? 2 * s->cap : 16;
			pid_t *more = realloc(s->outside, cap * sizeof(*more));

			if (!more)
				return -ENOMEM;
			s->outside = more;
			s->cap = cap;
		}
		s->outside[s->noutside++] = t->thread[i].tid;
	}
	return 0;
}

/* All threads are stopped. */
static int survey_threads(struct survey *s, bool *ret_all)
{
	struct inject_target *t = &s->p->target;
	u64 lo = s->p->image, hi = s->p->state;
	int r = survey_begin_round(s);

	if (r)
		return r;
	for (const struct code_region *c = s->p->regions; c; c = c->next) {
		lo = bits_min(lo, c->base);
		hi = bits_max(hi, c->base + c->size);
	}
	for (const struct process_prog *pp = s->p->progs; pp; pp = pp->hh.next) {
		lo = bits_min(lo, pp->base);
		hi = bits_max(hi, pp->base + pp->size);
	}
	for (u32 i = 0; i < t->nthreads; i++) {
		if (!t->thread[i].stopped || t->thread[i].gone || inject_regs(t, i))
			continue;
		survey_pc(s, t->thread[i].regs.rip, i);
		if (waits_in_slot(s->p, &t->thread[i]))
			s->inside[i] = false;
		survey_vdso(s, i);
	}
	inject_homes_each(t, survey_home, s);
	r = inject_scan_stacks(t, lo, hi, SCAN_LIMIT, survey_word, s);
	if (!s->sending)
		forget_mentions(s->p);
	return r < 0 ? r : survey_end_round(s, ret_all);
}

static bool region_in_use(const struct survey *s, const struct code_region *r, const struct entries *e)
{
	if (r->live || r->needed || s->overflow)
		return true;
	for (u32 i = 0; i < s->npc; i++)
		if (s->pc[i] - r->base < r->size)
			return true;
	return entries_need(e, r);
}

/* Calls that were left by longjmp or an exception keep their region like those that will return. One region or a few
 * are no harm. */
static bool regions_pile_up(const struct process *p)
{
	u32 n = 0;

	for (const struct code_region *r = p->regions; r; r = r->next)
		n += !r->live;
	return n > PATIENCE;
}

/* Stopped: marks what nobody needs. Nobody will from now on, so the unmapping need not be done while all stand still. */
static void mark_unused(struct process *p, const struct survey *s)
{
	struct entries e;

	if (entries_read(p, &e))
		return;
	if (regions_pile_up(p))
		entries_forget_abandoned(p, &e);
	for (struct code_region *r = p->regions; r; r = r->next)
		r->unused = !region_in_use(s, r, &e);
	entries_deinit(&e);
}

static bool anything_dead(const struct process *p)
{
	for (const struct code_region *r = p->regions; r; r = r->next)
		if (!r->live)
			return true;
	return false;
}

int attach_outside(struct process *p, u32 timeout_ms)
{
	u64 end = engine_now_ns() + timeout_ms * 1000000ull;
	struct survey s = { .p = p };
	long pause_ns = 250000;
	bool all = false;
	u32 tries = 0;
	int r;

	for (;;) {
		inject_scan_prepare(&p->target);
		do
			r = inject_stop(&p->target, STOP_TIMEOUT_MS);
		while (attach_again(p, r, &tries));
		if (r)
			break;
		r = survey_threads(&s, &all);
		if (!r && all && anything_dead(p))
			mark_unused(p, &s);
		process_resume(p);
		if (r || all)
			break;
		r = engine_now_ns() < end ? 0 : -ETIMEDOUT;
		if (r)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = pause_ns }, NULL);
		pause_ns = bits_min(2 * pause_ns, PAUSE_MAX_NS);
	}
	survey_deinit(&s);
	return r;
}

void attach_reclaim(struct process *p)
{
	bool lent = false, cannot = false; /* a process that lends no thread now lends none for the next region either */

	for (struct code_region **at = &p->regions; *at;) {
		struct code_region *r = *at;

		if (r->unused && !process_is_spare(p, r->base) && !lent && !cannot)
			cannot = process_borrow(p) != 0;
		if (!r->unused || (!process_is_spare(p, r->base) && cannot)) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		r->data = (struct nt_region){ .state = NT_REGION_FREE };
		process_publish_region(p, r, &r->data);
		if (!process_give_spare(p, r->base)) {
			lent = true;
			inject_syscall(&p->target, SYS_munmap, r->base, r->size, 0, 0, 0, 0);
		}
		code_region_free(r);
	}
	if (lent)
		process_give_back(p);
}

int attach_quiesce(struct process *p, u32 timeout_ms)
{
	int r = attach_outside(p, timeout_ms);

	if (!r)
		attach_reclaim(p);
	return r;
}
