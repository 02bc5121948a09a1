/* SPDX-License-Identifier: MIT */
/*
 * Looking through the stacks of stopped threads, within the pause: one process_vm_readv per 64 KiB, no look at the map.
 * A transfer does not split an element, so each element is one page and the first page that is not there ends the walk:
 * above a stack lies a guard page or nothing. What lies directly above a small stack made by hand may be read too,
 * within the limit; it can only add visits. A signal frame whose stack pointer lies elsewhere leads on to that stack: the
 * one that a handler on an alternate stack has interrupted. Stacks that nothing leads to (parked goroutines) are not
 * seen.
 */
#include "inject/inject.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "inject/x86_64/frame.h"

#define CHUNK 65536u
#define PIECES (CHUNK / NT_PAGE + 1)
#define HOPS 4 /* stacks of one thread */

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

/* From addr up to the end of the stack or the limit. *next: the stack that the first signal frame which leads to another
 * one leads to; what comes above may be of other threads. */
static int scan_stack(struct stack_scan *s, u32 thread, u64 addr, size_t limit, u64 *next)
{
	const size_t whole = limit;
	u64 from = addr, sp;

	while (limit >= 8) {
		size_t max = limit < CHUNK ? limit & ~7ull : CHUNK;
		ssize_t n = read_stack(s->t->pid, addr, s->buf, max);

		if (n < 0)
			return (int)n;
		for (ssize_t i = 0; i < n / 8; i++) {
			u64 at = addr + (u64)i * 8;

			if (s->buf[i] >= s->lo && s->buf[i] < s->hi) {
				s->visit(s->buf[i], at, thread, s->arg);
				s->visits++;
			}
			if (!*next && frame_sp(s->t, s->buf[i], at, &sp) && sp - from >= whole)
				*next = sp;
		}
		if ((size_t)n < max)
			return 0;
		addr += max;
		limit -= max;
	}
	return 0;
}

static int scan_one(struct stack_scan *s, u32 thread, size_t limit)
{
	u64 at = s->t->thread[thread].regs.rsp & ~7ull;
	int r = 0;

	for (int hop = 0; at && hop < HOPS && !r; hop++) {
		u64 next = 0;

		r = scan_stack(s, thread, at, limit, &next);
		at = next & ~7ull;
	}
	return r;
}

int inject_scan_stacks(struct inject_target *t, u64 lo, u64 hi, size_t limit,
		       void (*visit)(u64 word, u64 addr, u32 thread, void *arg), void *arg)
{
	struct stack_scan s = {.t = t, .lo = lo, .hi = hi, .visit = visit, .arg = arg};
	int r = 0;

	s.buf = malloc(CHUNK);
	if (!s.buf)
		return -ENOMEM;
	for (u32 i = 0; i < t->nthreads && !r; i++)
		if (t->thread[i].stopped && t->thread[i].have_regs)
			r = scan_one(&s, i, limit);
	free(s.buf);
	return r ? r : s.visits;
}
