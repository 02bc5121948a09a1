/* SPDX-License-Identifier: MIT */
/* How many calls of a thread are reported at their return, and sessions, whose words such calls carry. */
#include "subject.h"
#include "tap.h"

#define REGION 0x7777000000ull
#define LIMIT 64

static u64 stack[4096]; /* grows down, as stacks do */

static struct nt_ret_entry *pool_of(const struct subject *s)
{
	return (void *)s->state->pool;
}

/* As a dispatcher notes a call whose word is at stack[at]. */
static struct nt_ret_entry *enter(const struct subject *s, struct nt_row *row, u32 i, u32 at)
{
	struct nt_ret_entry *e = &pool_of(s)[i];

	*e = (struct nt_ret_entry){.sp = (u64)&stack[at], .in_use = i + 1, .row = (u64)row, .next = row->top};
	row->top = (u64)e;
	row->depth++;
	return e;
}

static void leave(struct nt_row *row)
{
	struct nt_ret_entry *e = (void *)row->top;

	row->top = e->next;
	row->depth--;
	e->in_use = 0;
}

static bool allowed(const struct subject *s, u32 at)
{
	return s->ret_deep((u64)&stack[at]) != NULL;
}

static void test_limit(const struct subject *s)
{
	struct nt_row *row;
	u32 n = 0;

	subject_reset(s);
	s->state->stack_end = (u64)(stack + 4096);
	row = s->row_slow();
	for (; n < 200 && allowed(s, 4000 - 8 * n); n++)
		enter(s, row, n, 4000 - 8 * n);
	tap_eq(n, LIMIT, "so many calls may be pending");
	tap_eq(row->missed, 1, "the next one is missed");
	leave(row);
	tap_ok(allowed(s, 4000 - 8 * n), "after a return there is room for one");
	enter(s, row, n, 4000 - 8 * n);
	tap_ok(!allowed(s, 100), "and no more");
	s->state->stack_end = 0x1000;
	tap_ok(allowed(s, 100), "but on a stack that is not the thread's");
	s->state->stack_end = (u64)(stack + 4096);
	tap_ok(allowed(s, 4000), "a call at the outermost word: all others have been left");
	tap_ok(!row->top && !row->depth, "and are forgotten");
}

static void test_left(const struct subject *s)
{
	struct nt_row *row;

	subject_reset(s);
	row = s->row_slow();
	for (u32 i = 0; i < 10; i++)
		enter(s, row, i, 4000 - 8 * i);
	tap_ok(allowed(s, 4000 - 8 * 5), "a call at the sixth one's word");
	tap_ok(row->top == (u64)&pool_of(s)[4] && row->depth == 5, "five are left");
	s->state->region[0] = (struct nt_region){.base = REGION, .size = 0x1000, .state = NT_REGION_LIVE};
	s->state->nregions = 1;
	stack[4000 - 8 * 4] = REGION + 5;
	tap_ok(allowed(s, 4000 - 8 * 4) && row->depth == 5, "reached by a tail jump: the call at the same word is alive");
	s->state->region[0].state = NT_REGION_FREE;
}

static void test_wrong_numbers(const struct subject *s)
{
	struct nt_row *row;

	subject_reset(s);
	row = s->row_slow();
	enter(s, row, 0, 4000);
	row->depth = 1000; /* coroutines that were never resumed */
	tap_ok(allowed(s, 3000) && row->depth == 1, "too high a number is corrected");
	row->depth = -1u;
	tap_ok(allowed(s, 3000) && row->depth == 1, "too low a one too");
	pool_of(s)[0].next = (u64)&pool_of(s)[0];
	row->depth = 1000;
	tap_ok(allowed(s, 3000) || row->depth == LIMIT, "a list that goes round ends");
	pool_of(s)[0].sp = 0;
	tap_ok(s->ret_deep((u64)&stack[3000]) || true, "so does one of dead calls");
	row->top = 8;
	tap_ok(allowed(s, 3000) && !row->top, "an address outside of the pool is not followed");
}

static u32 free_entries(const struct nt_row *row)
{
	u32 n = 0;

	for (const struct nt_ret_entry *e = (void *)row->free; e && n < 1000; e = (void *)e->next)
		n++;
	return n;
}

static void test_sessions(const struct subject *s)
{
	struct nt_ret_entry *e, *many;
	struct nt_row *row;
	u32 had;

	subject_reset(s);
	row = s->row_slow();
	s->ret_slow(0);
	had = free_entries(row);
	e = s->session_open((u64)&stack[4000], 2);
	tap_ok(e && e->row == (u64)row && !e->more && free_entries(row) == had - 1, "an entry for two sessions");
	tap_ok(!s->session_at(e, 7), "nobody wants the return yet");
	tap_ok(!s->session_keep(e) && free_entries(row) == had, "so it is free again");
	e = s->session_open((u64)&stack[4000], 2);
	e->session[1] = (struct nt_session){.key = 7, .cookie = 42};
	tap_ok(s->session_keep(e) == e, "one wants it: kept");
	tap_ok(s->session_at(e, 7) == &e->session[1].cookie && !s->session_at(e, 8), "found by its key");
	many = s->session_open((u64)&stack[3900], 8);
	tap_eq(free_entries(row), had - 4, "three entries for eight sessions");
	((struct nt_ret_entry *)((struct nt_ret_entry *)many->more)->more)->session[1] =
	    (struct nt_session){.key = 9, .cookie = 1};
	tap_ok(s->session_keep(many) == many && s->session_at(many, 9), "the eighth is found");
	s->session_more(many, row);
	tap_ok(!many->more && free_entries(row) == had - 2, "two are given back");
	s->session_keep(many);
	for (u32 i = 0; i < LIMIT; i++)
		enter(s, row, 100 + i, 3800 - 8 * i);
	tap_ok(!s->session_open((u64)&stack[100], 2), "not so deep");
	subject_reset(s);
	row = s->row_slow();
	s->state->pool_next = 0xffffffff;
	tap_ok(!s->session_open((u64)&stack[4000], 2), "no memory, no entry");
	s->state->pool_next = SUBJECT_POOL - 16;
	row->missed = 1;
	tap_ok(!s->session_open((u64)&stack[4000], 60), "nor when there is not enough of it");
	tap_eq(free_entries(row), 16, "and what there was is free");
}

int main(void)
{
	const struct subject *s = subject_new();

	test_limit(s);
	test_left(s);
	test_wrong_numbers(s);
	test_sessions(s);
	return tap_done();
}
