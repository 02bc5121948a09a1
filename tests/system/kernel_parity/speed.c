/* SPDX-License-Identifier: MIT */
/*
 * Threads call probed functions as fast as they can while links come and go on those functions. Each thread checks after each
 * call that whoever was there before has counted it exactly once. A link that comes has to count every call that begins after
 * LINK_CREATE has returned and ends before close() begins, each once, and none that begins after close() has returned.
 */
#include "parity.h"

#include <pthread.h>

#define THREADS TALLY_THREADS
#define ROUNDS 8
#define KINDS 5

/* Cookies: rows of the tally. A session counts in two of them. */
enum { STAYS_IN, STAYS_OUT, STAYS_SESSION, STAYS_SESSION_OUT, STAYS_SINGLE, COMES };

static parity_fn *const probed[] = { p_0, p_1, p_2 };

struct caller {
	struct parity *p;
	u64 calls;	  /* that have returned */
	u64 wrong, value; /* calls: not counted exactly once by somebody who stays; with a wrong result */
	bool end;
	unsigned number;
	pthread_t thread;
};

static u64 tally(const struct parity *p, unsigned row, unsigned thread)
{
	return __atomic_load_n(&p->skel->bss->tally[row][thread], __ATOMIC_ACQUIRE);
}

static void *run(void *arg)
{
	struct caller *c = arg;

	for (u64 n = 1; !__atomic_load_n(&c->end, __ATOMIC_RELAXED); n++) {
		unsigned k = n % 3;

		c->value += probed[k](NULL, (void *)(uintptr_t)c->number) != 40 + k;
		for (unsigned row = STAYS_IN; row <= STAYS_SINGLE; row++)
			if (tally(c->p, row, c->number) != n) {
				c->wrong++;
				c->p->skel->bss->tally[row][c->number] = n; /* one wrong call, not all from here */
			}
		__atomic_store_n(&c->calls, n, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void snapshot(const struct caller *c, u64 calls[THREADS])
{
	for (int i = 0; i < THREADS; i++)
		calls[i] = __atomic_load_n(&c[i].calls, __ATOMIC_ACQUIRE);
}

static int attach(struct parity *p, unsigned kind, u64 cookie)
{
	const struct target t[] = { { p_0, cookie, 0 }, { p_1, cookie, 0 }, { p_2, cookie, 0 } };

	switch (kind) {
	case 0: return link_targets(p->tally, LINK_MULTI, 0, getpid(), t, 3);
	case 1: return link_targets(p->tally, LINK_MULTI, FLAG_RETURN, getpid(), t, 3);
	case 2: return link_targets(p->tally_session, LINK_SESSION, 0, getpid(), t, 3);
	case 3: return link_targets(p->tally, LINK_MULTI, 0, 0, t, 3); /* whoever it is */
	default: return perf_one(p->tally_single, false, p_0, cookie);
	}
}

struct result {
	int failed; /* to attach */
	u64 lost, twice, late;
};

/* One link comes and goes. Of the perf kind only every third call is one of its function. */
static void come_and_go(struct parity *p, const struct caller *c, unsigned kind, struct result *res)
{
	u64 before[THREADS], there[THREADS], leaving[THREADS], gone[THREADS], seen[THREADS], part = kind == 4 ? 3 : 1;
	int fd;

	memset(p->skel->bss->tally[COMES], 0, sizeof(p->skel->bss->tally[COMES]));
	snapshot(c, before);
	fd = attach(p, kind, COMES);
	if (fd < 0) {
		res->failed++;
		return;
	}
	snapshot(c, there);
	usleep(20000);
	snapshot(c, leaving);
	close(fd);
	for (int i = 0; i < THREADS; i++)
		seen[i] = tally(p, COMES, (unsigned)i);
	snapshot(c, gone);
	usleep(2000);
	/* A call that is under way at either end may or may not be counted. Who wants the return counts a call that had begun
	 * before, too, if somebody else wanted it then. */
	for (int i = 0; i < THREADS; i++) {
		u64 least = (leaving[i] - there[i]) / part, most = (gone[i] - before[i]) / part + 2;

		res->lost += seen[i] + 2 < least;
		res->twice += seen[i] > most;
		res->late += tally(p, COMES, (unsigned)i) != seen[i];
	}
}

void speed_cases(struct parity *p)
{
	static const char *const name[KINDS] = { "entry", "return", "session", "entry, all processes", "perf event" };
	int fd[] = { attach(p, 0, STAYS_IN), attach(p, 1, STAYS_OUT), attach(p, 2, STAYS_SESSION), -1, -1, -1 };
	struct result res[KINDS] = { { 0 } };
	struct caller c[THREADS] = { { 0 } };
	u64 calls = 0, wrong = 0, value = 0;

	for (int i = 0; i < 3; i++) {
		fd[3 + i] = perf_one(p->tally_single, false, probed[i], STAYS_SINGLE);
		show("who stays", fd[i] < 0 ? fd[i] : fd[3 + i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		c[i] = (struct caller){ .p = p, .number = i };
		pthread_create(&c[i].thread, NULL, run, &c[i]);
	}
	for (unsigned i = 0; i < ROUNDS * KINDS; i++)
		come_and_go(p, c, i % KINDS, &res[i % KINDS]);
	for (unsigned i = 0; i < THREADS; i++) {
		__atomic_store_n(&c[i].end, true, __ATOMIC_RELAXED);
		pthread_join(c[i].thread, NULL);
		calls += c[i].calls;
		wrong += c[i].wrong;
		value += c[i].value;
	}
	fprintf(stderr, "%llu calls\n", (unsigned long long)calls);
	printf("calls: enough %d, wrong results %llu\n", calls > 10000, (unsigned long long)value);
	printf("calls not counted exactly once by each of those who stay: %llu\n", (unsigned long long)wrong);
	for (int k = 0; k < KINDS; k++)
		printf("%s: not attached %d, lost %llu, twice %llu, after its end %llu\n", name[k], res[k].failed,
		       (unsigned long long)res[k].lost, (unsigned long long)res[k].twice, (unsigned long long)res[k].late);
	for (int i = 0; i < 6; i++)
		close(fd[i]);
}
