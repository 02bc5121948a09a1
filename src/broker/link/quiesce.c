/* SPDX-License-Identifier: MIT */
/*
 * When is a thread inside our code? Its program counter says so, or that of a signal frame on its stack (a handler
 * interrupted our code), or it is in the vdso on behalf of a helper. Return addresses of thunks on the stack do not
 * count as inside: they only keep their region mapped.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/bits.h"
#include "broker/link/attach.h"
#include "broker/link/batch.h"
#include "util/fd.h"

#define STOP_TIMEOUT_MS 1000u
#define SCAN_LIMIT (128u * 1024u)

enum inside { OUTSIDE, IN_SLOT, IN_PROGRAM };

static enum inside inside_of(const struct process *p, u64 pc)
{
	if (pc - p->image < p->state - p->image)
		return IN_PROGRAM;
	for (const struct process_prog *pp = p->progs; pp; pp = pp->hh.next)
		if (pc - pp->base < pp->size)
			return IN_PROGRAM;
	for (const struct code_region *r = p->regions; r; r = r->next)
		if (pc - r->base < r->size)
			return pc - r->base < r->code_end ? IN_PROGRAM : IN_SLOT;
	return OUTSIDE;
}

struct survey {
	struct process *p;
	bool program;		   /* some thread is inside a program, dispatcher or helper */
	u64 pc[256];		   /* where threads stand in our code */
	u32 npc;
	bool overflow;
};

static void survey_pc(struct survey *s, u64 pc)
{
	enum inside in = inside_of(s->p, pc);

	if (in == OUTSIDE)
		return;
	s->program |= in == IN_PROGRAM;
	if (s->npc < 256)
		s->pc[s->npc++] = pc;
	else
		s->overflow = true;
}

static void survey_word(u64 word, u64 addr, u32 thread, void *arg)
{
	struct survey *s = arg;

	if (inside_of(s->p, word) != OUTSIDE && signal_frame_at(&s->p->target, addr))
		survey_pc(s, word);
}

/* A thread in the vdso has the helper's return address near its stack pointer. */
static void survey_vdso(struct survey *s, struct inject_thread *t)
{
	u64 clock = 0, words[64];

	if (inject_read(&s->p->target, s->p->state + offsetof(struct nt_state, clock_gettime), &clock, sizeof(clock)) ||
	    !clock || t->regs.rip - (clock & ~0xffffull) >= 0x20000)
		return;
	if (inject_read(&s->p->target, t->regs.rsp & ~7ull, words, sizeof(words)))
		return;
	for (u32 i = 0; i < 64; i++)
		if (words[i] - s->p->image < s->p->state - s->p->image)
			s->program = true;
}

/* All threads are stopped. */
static int survey_threads(struct survey *s)
{
	struct inject_target *t = &s->p->target;
	u64 lo = s->p->image, hi = s->p->state;

	for (const struct code_region *r = s->p->regions; r; r = r->next) {
		lo = bits_min(lo, r->base);
		hi = bits_max(hi, r->base + r->size);
	}
	for (const struct process_prog *pp = s->p->progs; pp; pp = pp->hh.next) {
		lo = bits_min(lo, pp->base);
		hi = bits_max(hi, pp->base + pp->size);
	}
	for (u32 i = 0; i < t->nthreads; i++) {
		if (!t->thread[i].stopped || t->thread[i].gone || inject_regs(t, i))
			continue;
		survey_pc(s, t->thread[i].regs.rip);
		survey_vdso(s, &t->thread[i]);
	}
	return inject_scan_stacks(t, lo, hi, SCAN_LIMIT, survey_word, s);
}

static bool region_in_use(const struct survey *s, const struct code_region *r, const struct nt_ret_entry *e, u32 n)
{
	if (r->live || s->overflow)
		return true;
	for (u32 i = 0; i < s->npc; i++)
		if (s->pc[i] - r->base < r->size)
			return true;
	for (u32 i = 0; i < n; i++)
		if (e[i].in_use && e[i].thunk - r->base < r->size)
			return true;
	return false;
}

static struct nt_ret_entry *read_entries(struct process *p, u32 *ret_n)
{
	struct nt_ret_entry *e;
	u32 n = 0;

	if (inject_read(&p->target, p->state + offsetof(struct nt_state, pool_next), &n, sizeof(n)))
		return NULL;
	n = bits_min(n, (u32)((p->gates - p->pool) / sizeof(*e)));
	e = malloc((n + 1) * sizeof(*e));
	if (e && n && inject_read(&p->target, p->pool, e, n * sizeof(*e))) {
		free(e);
		return NULL;
	}
	*ret_n = n;
	return e;
}

/* Stopped: unmaps what nobody needs, with the thread that lends its registers. */
static void reclaim_stopped(struct process *p, struct survey *s)
{
	u32 n = 0;
	struct nt_ret_entry *e free_auto = read_entries(p, &n);

	if (!e || process_borrow(p))
		return;
	for (struct code_region **at = &p->regions; *at;) {
		struct code_region *r = *at;

		if (region_in_use(s, r, e, n)) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		r->data = (struct nt_region){ .state = NT_REGION_FREE };
		process_publish_region(p, r, &r->data);
		inject_syscall(&p->target, SYS_munmap, r->base, r->size, 0, 0, 0, 0);
		free(r);
	}
	process_give_back(p);
}

static bool anything_dead(const struct process *p)
{
	for (const struct code_region *r = p->regions; r; r = r->next)
		if (!r->live)
			return true;
	return false;
}

int attach_quiesce(struct process *p, u32 timeout_ms)
{
	u64 end = engine_now_ns() + timeout_ms * 1000000ull;
	int r;

	do {
		struct survey s = { .p = p };

		r = inject_stop(&p->target, STOP_TIMEOUT_MS);
		if (r)
			return r;
		r = survey_threads(&s);
		if (r >= 0 && !s.program && anything_dead(p))
			reclaim_stopped(p, &s);
		inject_resume(&p->target);
		if (r < 0 || !s.program)
			return r < 0 ? r : 0;
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	} while (engine_now_ns() < end);
	return -ETIMEDOUT;
}
