/* SPDX-License-Identifier: MIT */
/*
 * Large values are replaced, not overwritten: while writers update a few keys without pause and
 * others insert and delete neighbours in the same few buckets, a lookup never misses a key, and a
 * system call's lookup never sees a mixture of two values or another key's value.
 */
#include <errno.h>
#include <pthread.h>

#include "mapfile.h"
#include "tap.h"
#include "torture.h"

#define KEYS 4u
#define WORDS 16u

struct shared {
	u32 stop;
	u64 updates, lookups, misses, torn, churned, failed;
};

struct job {
	struct nt_map_view v;
	struct shared *s;
	u64 seed;
};

static void fill(u64 *value, u32 key, u64 n)
{
	for (u32 i = 0; i < WORDS; i++)
		value[i] = (u64)key << 56 | n;
}

static void *writer(void *arg)
{
	struct job *j = arg;
	struct nt_caller c = mapfile_caller((u32)j->seed);
	u64 rnd = j->seed, value[WORDS];

	while (!__atomic_load_n(&j->s->stop, __ATOMIC_RELAXED)) {
		u32 key = (u32)(mapfile_rand(&rnd) % KEYS);

		fill(value, key, mapfile_rand(&rnd) >> 8);
		if (map_update(&j->v, &c, &key, value, BPF_EXIST))
			__atomic_fetch_add(&j->s->failed, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&j->s->updates, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *churner(void *arg)
{
	struct job *j = arg;
	struct nt_caller c = mapfile_caller((u32)j->seed);
	u64 rnd = j->seed, value[WORDS];

	while (!__atomic_load_n(&j->s->stop, __ATOMIC_RELAXED)) {
		u32 key = 10 + (u32)(mapfile_rand(&rnd) % KEYS);

		fill(value, key, 1);
		map_update(&j->v, &c, &key, value, BPF_ANY);
		map_delete(&j->v, &c, &key);
		__atomic_fetch_add(&j->s->churned, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *reader(void *arg)
{
	struct job *j = arg;
	struct nt_caller c = mapfile_caller(0);
	u64 rnd = j->seed, value[WORDS];

	while (!__atomic_load_n(&j->s->stop, __ATOMIC_RELAXED)) {
		u32 key = (u32)(mapfile_rand(&rnd) % KEYS);
		u64 bad = 0;

		if (!map_lookup(&j->v, &c, &key) || map_sys_lookup(&j->v, &c, &key, value)) {
			__atomic_fetch_add(&j->s->misses, 1, __ATOMIC_RELAXED);
			continue;
		}
		for (u32 i = 0; i < WORDS; i++)
			bad |= value[i] ^ value[0];
		if (bad || value[0] >> 56 != key)
			__atomic_fetch_add(&j->s->torn, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&j->s->lookups, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int process(void *arg)
{
	void *(*const bodies[])(void *) = {writer, reader, churner, reader};
	struct job *base = arg, jobs[4];
	pthread_t t[4];

	for (u32 i = 0; i < 4; i++) {
		jobs[i] = *base;
		jobs[i].seed += i;
		pthread_create(&t[i], NULL, bodies[i], &jobs[i]);
	}
	for (u32 i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	return 0;
}

int main(int argc, char **argv)
{
	struct torture t = torture_start(argc, argv, 2500);
	struct job j = {.s = torture_shared(4096), .seed = t.seed};
	struct nt_caller c = mapfile_caller(0);
	u64 value[WORDS];
	pid_t pid[2];

	/* Eight buckets: chains are long and everybody meets. */
	j.v = mapfile_new(BPF_MAP_TYPE_HASH, 4, sizeof(value), 2 * KEYS, 0, 1);
	for (u32 key = 0; key < KEYS; key++) {
		fill(value, key, 0);
		map_update(&j.v, &c, &key, value, BPF_ANY);
	}
	for (u32 i = 0; i < 2; i++) {
		j.seed = t.seed + 100 * i;
		pid[i] = torture_fork(process, &j);
	}
	usleep((useconds_t)t.ms * 1000);
	__atomic_store_n(&j.s->stop, 1, __ATOMIC_RELAXED);
	tap_ok(torture_wait(pid[0]) & torture_wait(pid[1]), "everybody comes to an end");
	tap_eq(j.s->misses, 0, "no lookup misses a key that is being updated (%llu lookups)",
	       (unsigned long long)j.s->lookups);
	tap_eq(j.s->torn, 0, "no value is a mixture (%llu updates, %llu insertions)",
	       (unsigned long long)j.s->updates, (unsigned long long)j.s->churned);
	tap_eq(j.s->failed, 0, "no update fails");
	tap_ok(j.s->updates > 1000 && j.s->lookups > 1000, "all had their turns");
	for (u32 key = 20, n = 0; n <= KEYS; n++, key++)
		tap_eq(map_update(&j.v, &c, &key, value, BPF_NOEXIST), n < KEYS ? 0 : -E2BIG,
		       "free place %u", n);
	return tap_done();
}
