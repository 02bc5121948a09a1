/* SPDX-License-Identifier: MIT */
/*
 * Looking through the stacks of stopped threads, within the pause. Of many threads the stacks are read together, up to the
 * end of the mapping that each lies in: where that is was looked up before the stop. Else, and where that has changed, one
 * process_vm_readv per 64 KiB, without knowing where the stack ends.
 * A transfer does not split an element, so each element is one page and the first page that is not there ends the walk:
 * above a stack lies a guard page or nothing. What lies directly above a small stack made by hand may be read too,
 * within the limit; it can only add visits. A signal frame whose stack pointer lies elsewhere leads on to that stack: the
 * one that a handler on an alternate stack has interrupted. Stacks that nothing leads to (parked goroutines) are not
 * seen.
 */
#include "inject/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/bits.h"
#include "inject/x86_64/frame.h"
#include "util/proc.h"

#define CHUNK 65536u
#define PIECES (CHUNK / NT_PAGE + 1)
#define HOPS 4 /* stacks of one thread */
#define TOGETHER 64u /* stacks that are read in one go, */
#define BATCH (4 * CHUNK) /* and their bytes */
#define FEW 4 /* threads that are not worth a look at the map */

struct stack_scan {
	struct inject_target *t;
	u64 lo, hi;
	void (*visit)(u64 word, u64 addr, u32 thread, void *arg);
	void *arg;
	u64 *buf;
	int visits;
};

/* Bytes read from addr on, at most max; the end of the mapping may make it fewer, down to none. */
static ssize_t read_stack(pid_t pid, u64 addr, void *buf, size_t max)
{
	struct iovec local = {.iov_base = buf, .iov_len = max}, remote[PIECES];
	unsigned long n = 0;
	ssize_t r;

	for (size_t done = 0; done < max; n++) {
		size_t len = NT_PAGE - ((addr + done) & (NT_PAGE - 1));

		if (len > max - done)
			len = max - done;
		remote[n] = (struct iovec){.iov_base = (void *)(addr + done), .iov_len = len};
		done += len;
	}
	r = process_vm_readv(pid, &local, 1, remote, n, 0);
	return r < 0 ? (errno == EFAULT ? 0 : -errno) : r;
}

/* The n words at addr. *next: the stack that the first signal frame which leads to another one leads to; what comes above
 * may be of other threads. from, whole: of the stack that is scanned. */
static void scan_words(struct stack_scan *s, u32 thread, const u64 *word, ssize_t n, u64 addr, u64 from, size_t whole, u64 *next)
{
	u64 sp;

	for (ssize_t i = 0; i < n; i++) {
		u64 at = addr + (u64)i * 8;

		if (word[i] >= s->lo && word[i] < s->hi) {
			s->visit(word[i], at, thread, s->arg);
			s->visits++;
		}
		if (!*next && frame_sp(s->t, word[i], at, &sp) && sp - from >= whole)
			*next = sp;
	}
}

/* From addr up to the end of the stack or the limit. */
static int scan_stack(struct stack_scan *s, u32 thread, u64 addr, size_t limit, u64 *next)
{
	const size_t whole = limit;
	u64 from = addr;

	while (limit >= 8) {
		size_t max = limit < CHUNK ? limit & ~7ull : CHUNK;
		ssize_t n = read_stack(s->t->pid, addr, s->buf, max);

		if (n < 0)
			return (int)n;
		scan_words(s, thread, s->buf, n / 8, addr, from, whole, next);
		if ((size_t)n < max)
			return 0;
		addr += max;
		limit -= max;
	}
	return 0;
}

static int scan_hops(struct stack_scan *s, u32 thread, u64 at, int hops, size_t limit)
{
	int r = 0;

	for (; at && hops && !r; hops--) {
		u64 next = 0;

		r = scan_stack(s, thread, at, limit, &next);
		at = next & ~7ull;
	}
	return r;
}

static u64 stack_at(const struct stack_scan *s, u32 thread)
{
	return s->t->thread[thread].regs.rsp & ~7ull;
}

/* --- many at once --- */

static bool area_visit(const struct proc_map *m, void *arg)
{
	struct inject_areas *a = arg;

	if (!(m->prot & PROT_READ))
		return false;
	if (a->n && a->area[a->n - 1].end == m->start) {
		a->area[a->n - 1].end = m->end;
		return false;
	}
	if (a->n == a->cap) {
		u32 cap = a->cap ? 2 * a->cap : 256;
		struct inject_area *more = realloc(a->area, cap * sizeof(*more));

		if (!more)
			return true;
		a->area = more;
		a->cap = cap;
	}
	a->area[a->n++] = (struct inject_area){m->start, m->end};
	return false;
}

void inject_scan_prepare(struct inject_target *t)
{
	struct stat st; /* a directory has a link for each directory in it */

	t->areas.n = 0;
	if (t->willing || fstat(t->taskfd, &st) || st.st_nlink <= FEW + 2 || proc_maps_each(t->pid, area_visit, &t->areas))
		t->areas.n = 0;
}

/* How much is there from addr on; 0: not known. */
static u64 known_size(const struct inject_areas *a, u64 addr)
{
	u32 lo = 0, hi = a->n;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (a->area[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < a->n && addr >= a->area[lo].start ? (a->area[lo].end - addr) & ~7ull : 0;
}

struct together {
	struct iovec stack[TOGETHER];
	u32 thread[TOGETHER], n;
	size_t size;
};

/* Those that were collected. Where the map was not right any more each is read on its own. */
static int scan_together(struct stack_scan *s, struct together *g, size_t limit)
{
	struct iovec local = {.iov_base = s->buf, .iov_len = g->size};
	bool whole = g->n && process_vm_readv(s->t->pid, &local, 1, g->stack, g->n, 0) == (ssize_t)g->size;
	u64 next[TOGETHER] = {0};
	const u64 *word = s->buf;
	int r = 0;

	for (u32 i = 0; i < g->n && whole; i++) {
		u64 at = (u64)g->stack[i].iov_base, n = g->stack[i].iov_len / 8;

		scan_words(s, g->thread[i], word, (ssize_t)n, at, at, limit, &next[i]);
		word += n;
	}
	for (u32 i = 0; i < g->n && !r; i++)
		r = whole ? scan_hops(s, g->thread[i], next[i] & ~7ull, HOPS - 1, limit)
			  : scan_hops(s, g->thread[i], (u64)g->stack[i].iov_base, HOPS, limit);
	g->n = 0;
	g->size = 0;
	return r;
}

static int scan_all(struct stack_scan *s, size_t limit)
{
	struct together g = {.n = 0};
	int r = 0;

	for (u32 i = 0; i < s->t->nthreads && !r; i++) {
		u64 at = stack_at(s, i), len;

		if (!s->t->thread[i].stopped || !s->t->thread[i].have_regs)
			continue;
		len = bits_min(known_size(&s->t->areas, at), (u64)limit & ~7ull);
		if (!len || len > BATCH) {
			r = scan_hops(s, i, at, HOPS, limit);
			continue;
		}
		if (g.n == TOGETHER || g.size + len > BATCH)
			r = scan_together(s, &g, limit);
		g.thread[g.n] = i;
		g.stack[g.n++] = (struct iovec){.iov_base = (void *)at, .iov_len = len};
		g.size += len;
	}
	return r ? r : scan_together(s, &g, limit);
}

int inject_scan_stacks(struct inject_target *t, u64 lo, u64 hi, size_t limit,
		       void (*visit)(u64 word, u64 addr, u32 thread, void *arg), void *arg)
{
	struct stack_scan s = {.t = t, .lo = lo, .hi = hi, .visit = visit, .arg = arg};
	int r;

	s.buf = malloc(t->areas.n ? BATCH : CHUNK);
	if (!s.buf)
		return -ENOMEM;
	r = scan_all(&s, limit);
	free(s.buf);
	return r ? r : s.visits;
}
