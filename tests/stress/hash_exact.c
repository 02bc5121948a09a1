/* SPDX-License-Identifier: MIT */
/*
 * Exactness: processes of several threads count in one map that has room for exactly the keys they
 * use, while each also inserts and deletes keys of its own. Every total, the number of elements and
 * every result must be exact. So must they be where the map is just full, whoever has the last
 * element and however long.
 */
#include <errno.h>
#include <pthread.h>

#include "mapfile.h"
#include "maps/hash.h"
#include "tap.h"
#include "torture.h"

#define PROCS 3u
#define THREADS 3u
#define WORKERS (PROCS * THREADS)
#define SHARED 500u /* keys everybody counts in */
#define OWN 8u	    /* keys of one worker */

struct job {
	struct nt_map_view v;
	u64 seed;
	u32 rounds;
	u32 *go;
	u32 worker;
	u32 bad;
};

/* The value starts with the count; the rest says whose key it is. */
static void make_value(u64 *value, u64 count, u32 key)
{
	value[0] = count;
	for (u32 i = 1; i < 4; i++)
		value[i] = key * 0x0101010101010101ull;
}

static u32 count_one(struct job *j, const struct nt_caller *c, u32 key)
{
	u64 value[4], *p = map_lookup(&j->v, c, &key);
	int r;

	if (!p) {
		make_value(value, 0, key);
		r = map_update(&j->v, c, &key, value, BPF_NOEXIST);
		if (r && r != -EEXIST)
			return 1;
		p = map_lookup(&j->v, c, &key);
	}
	if (!p)
		return 1;
	__atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
	return 0;
}

static u32 own_one(struct job *j, const struct nt_caller *c, u32 key, u64 round)
{
	u64 value[4], got[4], *p;
	u32 bad = 0;

	make_value(value, round, key);
	bad += map_update(&j->v, c, &key, value, BPF_EXIST) != -ENOENT;
	bad += map_update(&j->v, c, &key, value, BPF_NOEXIST) != 0;
	p = map_lookup(&j->v, c, &key);
	bad += !p || *p != round;
	make_value(value, round + 1, key);
	bad += map_update(&j->v, c, &key, value, BPF_ANY) != 0;
	bad += map_update(&j->v, c, &key, value, BPF_NOEXIST) != -EEXIST;
	bad += map_sys_lookup(&j->v, c, &key, got) != 0 || memcmp(got, value, j->v.value_size);
	bad += map_sys_lookup_and_delete(&j->v, c, &key, got) != 0 ||
	       memcmp(got, value, j->v.value_size);
	bad += map_lookup(&j->v, c, &key) != NULL;
	bad += map_delete(&j->v, c, &key) != -ENOENT;
	return bad;
}

static void *work(void *arg)
{
	struct job *j = arg;
	struct nt_caller c = mapfile_caller(j->worker);
	u64 rnd = j->seed;

	if (j->v.ncpus == 1 && j->v.type == BPF_MAP_TYPE_PERCPU_HASH)
		c.cpu = 0;
	while (!__atomic_load_n(j->go, __ATOMIC_ACQUIRE))
		sched_yield();
	for (u32 round = 0; round < j->rounds; round++) {
		for (u32 k = 0; k < SHARED; k++) {
			j->bad += count_one(j, &c, k);
			if (mapfile_rand(&rnd) % 8 == 0)
				j->bad += own_one(j, &c,
						  SHARED + j->worker * OWN +
						      (u32)(mapfile_rand(&rnd) % OWN),
						  round);
		}
	}
	return NULL;
}

static int process(void *arg)
{
	struct job *base = arg, jobs[THREADS];
	pthread_t t[THREADS];
	u32 bad = 0;

	for (u32 i = 0; i < THREADS; i++) {
		jobs[i] = *base;
		jobs[i].worker = base->worker * THREADS + i;
		jobs[i].seed = base->seed + jobs[i].worker * 7919;
		pthread_create(&t[i], NULL, work, &jobs[i]);
	}
	for (u32 i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		bad += jobs[i].bad;
	}
	if (bad)
		printf("# process %u: %u wrong results\n", base->worker, bad);
	fflush(stdout);
	return bad != 0;
}

static void run(u64 seed, u32 type, u32 value_size, u32 rounds)
{
	struct job j = {.seed = seed, .rounds = rounds, .go = torture_shared(4096)};
	struct nt_caller c = mapfile_caller(0);
	u32 wrong = 0, n = 0, key = 0, next;
	pid_t pid[PROCS];
	bool ok = true;
	u64 *p;

	j.v = mapfile_new(type, 4, value_size, SHARED + WORKERS * OWN, 0, 1);
	for (j.worker = 0; j.worker < PROCS; j.worker++)
		pid[j.worker] = torture_fork(process, &j);
	__atomic_store_n(j.go, 1, __ATOMIC_RELEASE);
	for (u32 i = 0; i < PROCS; i++)
		ok &= torture_wait(pid[i]);
	tap_ok(ok, "type %u, values of %u: every single result is right", type, value_size);
	for (u32 k = 0; k < SHARED; k++) {
		p = map_lookup(&j.v, &c, &k);
		wrong += !p || *p != (u64)rounds * WORKERS;
	}
	tap_eq(wrong, 0, "type %u, values of %u: every total is exact", type, value_size);
	for (int r = map_next_key(&j.v, NULL, &next); !r; r = map_next_key(&j.v, &key, &next), n++)
		key = next;
	tap_eq(n, SHARED, "type %u, values of %u: as many elements as keys", type, value_size);
	for (n = 0, key = 1u << 20; !map_update(&j.v, &c, &key, (u64[4]){0}, BPF_NOEXIST); key++)
		n++;
	tap_eq(n, WORKERS * OWN, "type %u, values of %u: no element was lost", type, value_size);
	mapfile_free(&j.v);
	munmap(j.go, 4096);
}

/* The last free element: everybody wants the same key at once, nobody may hear that the map is
 * full. */
static void last_element(u64 seed, u64 until)
{
	u32 bad = 0, laps = 0;

	while (torture_now_ms() < until) {
		struct job j = {.go = torture_shared(4096), .rounds = 1, .seed = seed};
		struct nt_caller c = mapfile_caller(0);
		pid_t pid[PROCS];

		j.v = mapfile_new(BPF_MAP_TYPE_HASH, 4, 8, SHARED + WORKERS * OWN, 0, 1);
		for (u32 k = 1u << 20; k < (1u << 20) + WORKERS * OWN; k++)
			map_update(&j.v, &c, &k, &(u64){0}, BPF_ANY);
		for (j.worker = 0; j.worker < PROCS; j.worker++) {
			pid[j.worker] = fork();
			if (!pid[j.worker]) {
				struct nt_caller me = mapfile_caller(j.worker * 5);

				for (u32 k = 0; k < SHARED; k++)
					j.bad += count_one(&j, &me, k);
				_exit(j.bad != 0);
			}
		}
		for (u32 i = 0; i < PROCS; i++)
			bad += !torture_wait(pid[i]);
		for (u32 k = 0; k < SHARED; k++) {
			u64 *p = map_lookup(&j.v, &c, &k);

			bad += !p || *p != PROCS;
		}
		mapfile_free(&j.v);
		munmap(j.go, 4096);
		laps++;
	}
	tap_eq(bad, 0, "filling to the last element together (%u maps)", laps);
}

/* Takes the only element of the map and puts it back after a while; ms = 0: dies with it. */
static pid_t hold(struct nt_map_view *v, u32 cpu, u32 ms)
{
	u32 *taken = torture_shared(4096);
	pid_t pid = fork();

	if (!pid) {
		struct nt_caller c = mapfile_caller(cpu);
		u32 ticket = hash_pool_enter(v, &c), idx = hash_pool_take(v, cpu, HASH_ENTRY);

		__atomic_store_n(taken, idx ? 1 : 2, __ATOMIC_RELEASE);
		if (!ms)
			_exit(0);
		usleep(ms * 1000);
		hash_pool_give(v, cpu, HASH_ENTRY, idx);
		hash_pool_leave(v, &c, ticket);
		_exit(0);
	}
	while (!__atomic_load_n(taken, __ATOMIC_ACQUIRE))
		usleep(100);
	munmap(taken, 4096);
	return pid;
}

/* How long an insertion takes to be refused. */
static u64 refusal_ms(struct nt_map_view *v, const struct nt_caller *c)
{
	u64 from = torture_now_ms();

	if (map_update(v, c, &(u32){7}, &(u64){0}, BPF_ANY) != -E2BIG)
		return ~0ull;
	return torture_now_ms() - from;
}

/* Who has the last element is away for long, for ever, or the thread itself, interrupted. */
static void absent_holder(void)
{
	struct nt_caller c = mapfile_caller(0), late = mapfile_caller(2), self = mapfile_caller(1);
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_HASH, 4, 8, 1, 0, 1);
	u32 key = 1, ticket, idx;
	u64 value = 1, took, best = ~0ull;
	pid_t pid;

	pid = hold(&v, 2, 40);
	tap_eq(map_update(&v, &c, &key, &value, BPF_NOEXIST), 0, "who is slow is waited for");
	torture_wait(pid);
	map_delete(&v, &c, &key);

	/* The shortest of some: not the one in which this process lost its CPU. */
	for (u32 i = 0; i < 8; i++) {
		ticket = hash_pool_enter(&v, &self);
		idx = hash_pool_take(&v, self.cpu, HASH_ENTRY);
		took = refusal_ms(&v, &c);
		best = took < best ? took : best;
		hash_pool_give(&v, self.cpu, HASH_ENTRY, idx);
		hash_pool_leave(&v, &self, ticket);
	}
	tap_ok(best < 20, "a signal handler does not wait for its own thread");
	tap_eq(map_update(&v, &c, &key, &value, BPF_NOEXIST), 0, "afterwards there is room");
	map_delete(&v, &c, &key);

	late.tid++; /* another thread, stopped so long that nobody waits for it any more */
	ticket = hash_pool_enter(&v, &late);
	idx = hash_pool_take(&v, late.cpu, HASH_ENTRY);
	tap_eq(map_update(&v, &c, &key, &value, BPF_NOEXIST), -E2BIG, "no waiting without end");
	hash_pool_give(&v, late.cpu, HASH_ENTRY, idx);
	pid = hold(&v, 2, 40);
	hash_pool_leave(&v, &late, ticket);
	tap_eq(map_update(&v, &c, &key, &value, BPF_NOEXIST), 0,
	       "a late leaver does not hide who came after it");
	torture_wait(pid);
	map_delete(&v, &c, &key);

	torture_wait(hold(&v, 2, 0));
	best = ~0ull;
	for (u32 i = 0; i < 8; i++) {
		took = refusal_ms(&v, &c);
		best = took < best ? took : best;
	}
	tap_ok(best < 20, "a dead one is waited for once");
	mapfile_free(&v);
}

int main(int argc, char **argv)
{
	struct torture t = torture_start(argc, argv, 2000);
	u32 rounds = (u32)(t.ms / 8);

	run(t.seed, BPF_MAP_TYPE_HASH, 8, rounds);
	run(t.seed, BPF_MAP_TYPE_PERCPU_HASH, 8, rounds);
	last_element(t.seed, torture_now_ms() + t.ms / 2);
	absent_holder();
	return tap_done();
}
