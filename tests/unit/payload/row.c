/* SPDX-License-Identifier: MIT */
/* The table of threads: every thread finds its own row, from several threads at once, in a full
 * table and without one. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "subject.h"
#include "tap.h"

enum { THREADS = 24, ROUNDS = 200 };

struct crowd {
	const struct subject *s;
	pthread_barrier_t start, end;
	struct nt_row *row[THREADS];
	u64 fs[THREADS];
	u32 wrong;
};

struct member {
	struct crowd *crowd;
	int index;
};

static void *member_main(void *arg)
{
	struct member *m = arg;
	struct crowd *c = m->crowd;

	pthread_barrier_wait(&c->start);
	c->row[m->index] = c->s->row_slow();
	c->fs[m->index] = pthread_self();
	for (int i = 0; i < ROUNDS; i++) {
		struct nt_row *row = c->s->row_slow();

		if (row != c->row[m->index] || (row && row->fs != pthread_self()))
			at_add(&c->wrong, 1);
		if (row)
			row->hits++; /* nobody else may write here */
	}
	if (c->row[m->index] && c->row[m->index]->hits != ROUNDS)
		at_add(&c->wrong, 1);
	pthread_barrier_wait(&c->end); /* thread pointers stay different */
	return NULL;
}

/* Number of threads that got a row; rows are checked to be different. */
static u32 crowd_run(const struct subject *s, u32 row_bits)
{
	struct crowd c = {.s = s};
	struct member m[THREADS];
	pthread_t t[THREADS];
	u32 got = 0;

	subject_reset(s);
	s->state->row_bits = row_bits;
	pthread_barrier_init(&c.start, NULL, THREADS);
	pthread_barrier_init(&c.end, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		m[i] = (struct member){&c, i};
		pthread_create(&t[i], NULL, member_main, &m[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < THREADS; i++) {
		got += !!c.row[i];
		for (int k = 0; k < i; k++)
			c.wrong += c.row[i] && c.row[i] == c.row[k];
	}
	if (c.wrong)
		printf("# %u wrong rows\n", c.wrong);
	s->state->row_bits = SUBJECT_ROW_BITS;
	return c.wrong ? ~0u : got;
}

static void test_crowds(const struct subject *s)
{
	bool all = true, few = true;

	for (int i = 0; i < 30; i++)
		all &= crowd_run(s, SUBJECT_ROW_BITS) == THREADS;
	tap_ok(all, "%d threads at once get a row each", THREADS);
	for (int i = 0; i < 30; i++)
		few &= crowd_run(s, 3) == 8;
	tap_ok(few, "a table of 8 serves exactly 8 of them");
}

/* Two threads that want the same row at the same instant, over and over. */
struct duel {
	const struct subject *s;
	u32 round, ready, done;
	struct nt_row *row[2];
};
enum { DUELS = 30000 };

static void *duel_second(void *arg)
{
	struct duel *d = arg;

	for (u32 round = 1; round <= DUELS; round++) {
		at_store_rel(&d->ready, round);
		while (at_load_acq(&d->round) != round)
			at_pause();
		d->row[1] = d->s->row_slow();
		at_store_rel(&d->done, round);
	}
	return NULL;
}

static void test_duels(const struct subject *s)
{
	struct duel d = {.s = s};
	u32 wrong = 0, met = 0;
	pthread_t t;

	s->state->row_bits = 1;
	pthread_create(&t, NULL, duel_second, &d);
	for (u32 round = 1; round <= DUELS; round++) {
		struct nt_row *rows = (void *)s->state->rows;

		while (at_load_acq(&d.ready) != round)
			at_pause();
		memset(rows, 0, 2 * sizeof(*rows));
		at_store_rel(&d.round, round);
		d.row[0] = s->row_slow();
		while (at_load_acq(&d.done) != round)
			at_pause();
		wrong += !d.row[0] || !d.row[1] || d.row[0] == d.row[1] ||
			 d.row[0]->fs != pthread_self() || d.row[1]->fs != (u64)t;
		met +=
		    (u64)pthread_self() * NT_ROW_HASH_MUL >> 63 == (u64)t * NT_ROW_HASH_MUL >> 63;
	}
	pthread_join(t, NULL);
	s->state->row_bits = SUBJECT_ROW_BITS;
	tap_eq(wrong, 0, "%d duels, %u for the same row", DUELS, met);
}

static void test_place(const struct subject *s)
{
	struct nt_row *rows = (void *)s->state->rows, *row, *next;
	u64 home = (u64)pthread_self() * NT_ROW_HASH_MUL >> (64 - SUBJECT_ROW_BITS);

	subject_reset(s);
	row = s->row_slow();
	tap_ok(row == &rows[home] && row->fs == pthread_self(), "the row that the hash says");
	subject_reset(s);
	rows[home].fs = 1;
	next = &rows[(home + 1) % (1 << SUBJECT_ROW_BITS)];
	tap_ok(s->row_slow() == next, "the next one when it is taken");
	tap_ok(s->row_slow() == next, "again");
	s->state->flags &= ~NT_STATE_FS0;
	tap_ok(s->row_slow() == next, "found by the register too");
	s->state->flags |= NT_STATE_FS0;
}

static void test_nothing(const struct subject *s)
{
	u64 rows = s->state->rows;

	s->state->rows = 0;
	tap_ok(!s->row_slow() && !s->ret_slow(0), "no table: no row, no entry");
	s->state->rows = rows;
	s->state->row_bits = 0;
	tap_ok(!s->row_slow(), "a table of no bits");
	s->state->row_bits = 64;
	tap_ok(!s->row_slow(), "a table of too many");
	s->state->row_bits = SUBJECT_ROW_BITS;
}

static const struct subject *alarm_subject;
static struct nt_row *volatile alarm_row;
static volatile u32 alarms;

static void on_alarm(int sig)
{
	alarm_row = alarm_subject->row_slow();
	alarms++;
}

/* A handler that looks for the row of the thread whose search it interrupted. */
static void test_signals(const struct subject *s)
{
	struct itimerval on = {{0, 50}, {0, 50}}, off = {{0, 0}, {0, 0}};
	u32 wrong = 0, seen = 0;

	alarm_subject = s;
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &on, NULL);
	for (int i = 0; i < 200000; i++) {
		struct nt_row *row;

		memset((void *)s->state->rows, 0, sizeof(struct nt_row) << 1);
		s->state->row_bits = 1;
		alarm_row = NULL;
		row = s->row_slow();
		wrong += !row;
		if (alarm_row) {
			seen++;
			wrong += row->fs != pthread_self();
		}
	}
	setitimer(ITIMER_REAL, &off, NULL);
	s->state->row_bits = SUBJECT_ROW_BITS;
	tap_ok(!wrong && alarms, "handlers that search too: %u of %u alarms met a search", seen,
	       alarms);
}

int main(void)
{
	const struct subject *s = subject_new();

	test_place(s);
	test_nothing(s);
	test_crowds(s);
	test_duels(s);
	test_signals(s);
	return tap_done();
}
