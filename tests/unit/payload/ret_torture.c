/* SPDX-License-Identifier: MIT */
/*
 * Threads and signal handlers that do what dispatchers and exits do to return entries, store by
 * store, with a pool that is always used up. Some calls are left for good, some tail-jump into
 * another call. No call that does return may find its entry changed.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "subject.h"
#include "tap.h"

enum { THREADS = 4, MS = 1500, DEPTH = 8, POOL = 160 };
#define REGION 0x7777000000ull
#define IN_SLOT (REGION + 0x10)
#define THUNK (REGION + 0x20)
#define THUNK_2 (REGION + 0x30)
#define RA 0x1111000000ull
#define JUNK 0x3333000000ull

static const struct subject *subject;
static u32 stop, wrong, calls, missed, left;
static u64 unique;
static __thread u32 rnd;

static u32 roll(u32 n)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 17;
	rnd ^= rnd << 5;
	return rnd % n;
}

static void dawdle(void)
{
	u32 r = roll(400);

	if (!r)
		sched_yield();
	else if (r < 40)
		for (u32 i = 0; i < r; i++)
			at_pause();
}

static struct nt_ret_entry *entry_pop(struct nt_row *row)
{
	struct nt_ret_entry *e;

	__asm__ volatile("incq %0" : "+m"(row->hits)); /* one instruction: handlers count too */
	e = (void *)at_load(&row->free);
	if (e)
		at_store(&row->free, at_load(&e->next));
	return e;
}

/* The stores of the dispatcher, in its order. */
static void entry_open(struct nt_ret_entry *e, struct nt_row *row, volatile u64 *word, u64 thunk,
		       u64 id)
{
	e->ra = *word;
	e->rbx = ~id;
	e->sp = (u64)word;
	e->slot = id;
	e->thunk = thunk;
	e->row = (u64)row;
	at_store_rel(&e->in_use, at_load(&row->hits));
	dawdle();
	*word = IN_SLOT;
	dawdle();
	*word = thunk;
}

/* The stores of the exit. */
static void entry_close(struct nt_ret_entry *e, struct nt_row *row, volatile u64 *word, u64 id)
{
	*word = e->ra;
	dawdle();
	if (e->slot != id || e->rbx != ~id || e->sp != (u64)word || !at_load(&e->in_use))
		at_add(&wrong, 1);
	at_store_rel(&e->in_use, 0);
	e->next = at_load(&row->free);
	at_store_rel(&row->free, (u64)e);
}

bool torture_wants_entry(void);
bool torture_dispatch(u32 depth, volatile u64 *word);

/*
 * Calls a function at `depth` the way a hit does: return address word, address into the slot, the
 * dispatcher's frame; from there, at that stack pointer, the refill if the list is empty.
 */
bool torture_call(u32 depth, u64 ra, u64 into_slot, void *(*refill)(u64 word_at));
__asm__(".text\n"
	".type torture_call, @function\n"
	"torture_call:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	push %rdi\n"
	"	push %rsi\n" /* the word: -16(%rbp) */
	"	push %rdx\n"
	"	sub $200, %rsp\n"
	"	push %rcx\n"
	"	sub $8, %rsp\n"
	"	call torture_wants_entry\n"
	"	add $8, %rsp\n"
	"	pop %rcx\n"
	"	test %al, %al\n"
	"	jz 1f\n"
	"	lea -16(%rbp), %rdi\n"
	"	call *%rcx\n"
	"1:	mov -8(%rbp), %rdi\n"
	"	lea -16(%rbp), %rsi\n"
	"	call torture_dispatch\n"
	"	leave\n"
	"	ret\n"
	".size torture_call, . - torture_call\n");

static bool call(u32 depth)
{
	return torture_call(depth, RA + depth, IN_SLOT, subject->ret_slow);
}

__attribute__((used)) bool torture_wants_entry(void)
{
	struct nt_row *row = subject->row_slow();

	row->missed = 0; /* look each time */
	return !at_load(&row->free);
}

/* true: the call was left, the caller does not return either: as after a longjmp over both. */
__attribute__((used)) bool torture_dispatch(u32 depth, volatile u64 *word)
{
	struct nt_row *row = subject->row_slow();
	struct nt_ret_entry *e = entry_pop(row), *tail = NULL;
	u64 id = at_add(&unique, 2), tail_id = id + 1;
	bool gone = false;

	at_add(&calls, 1);
	if (!e) {
		at_add(&missed, 1);
		return depth < DEPTH && !roll(3) ? call(depth + 1) : false;
	}
	entry_open(e, row, word, THUNK, id);
	dawdle();
	if (depth < DEPTH && roll(2))
		gone = call(depth + 1);
	if (!gone && !roll(4))
		tail = entry_pop(row);
	if (tail) {
		entry_open(tail, row, word, THUNK_2, tail_id);
		if (depth < DEPTH && roll(2))
			gone = call(depth + 1);
	}
	if (gone || !roll(12)) {
		at_add(&left, 1);
		if (roll(2))
			*word = JUNK; /* something else is there soon, or another call of the same
					 kind */
		return depth > 0 && roll(4);
	}
	if (tail)
		entry_close(tail, row, word, tail_id);
	entry_close(e, row, word, id);
	return false;
}

static void on_alarm(int sig)
{
	call(DEPTH - 2);
}

static void *thread_main(void *arg)
{
	rnd = (u32)(uintptr_t)arg;
	while (!at_load(&stop))
		call(0);
	return NULL;
}

int main(int argc, char **argv)
{
	u32 seed =
	    argc > 1 ? (u32)strtoul(argv[1], NULL, 0) : (u32)time(NULL) ^ (u32)getpid() << 16;
	struct itimerval on = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
	struct sigaction sa = {.sa_handler = on_alarm};
	pthread_t t[THREADS];

	subject = subject_new();
	subject->state->pool_n = POOL;
	subject->state->region[0] =
	    (struct nt_region){.base = REGION, .size = 0x1000, .state = NT_REGION_LIVE};
	subject->state->nregions = 1;
	printf("# seed %u\n", seed);
	rnd = seed | 1;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, thread_main,
			       (void *)(uintptr_t)((seed + (u32)i * 0x9e3779b9) | 1));
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &on, NULL);
	for (int ms = 0; ms < MS; ms++) {
		struct timespec tick = {.tv_nsec = 1000000};

		nanosleep(&tick, NULL);
	}
	setitimer(ITIMER_REAL, &off, NULL);
	at_store(&stop, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	printf("# %u calls, %u missed, %u left for good\n", calls, missed, left);
	tap_eq(wrong, 0, "no call that returned lost its entry");
	tap_ok(left > 10 * POOL, "the pool was used up many times over");
	tap_ok(calls - missed > calls / 10, "and entries came back");
	return tap_done();
}
