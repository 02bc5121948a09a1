/* SPDX-License-Identifier: MIT */
/*
 * Hostile memory, at the same time: one thread scribbles over the shared file while others use the
 * map. Answers may be wrong; every operation must come back soon, and nothing outside the file
 * (guard areas) may be touched.
 */
#include <pthread.h>

#include "mapfile.h"
#include "tap.h"
#include "torture.h"

#define SLOW_MS 1000u /* of one operation */

struct job {
	struct nt_map_view v;
	u64 seed;
	u32 *stop;
	u64 n, worst;
};

static void *scribbler(void *arg)
{
	struct job *j = arg;
	u64 rnd = j->seed, words = j->v.size / 8, *file = (u64 *)(void *)j->v.base;

	while (!__atomic_load_n(j->stop, __ATOMIC_RELAXED)) {
		u64 r = mapfile_rand(&rnd), where = r % words, word = mapfile_rand(&rnd);

		if (r >> 62) /* mostly a link of some element, or a head */
			where = (j->v.data_off + (r >> 8) % j->v.max_entries * j->v.elem_size) / 8;
		if ((r >> 60) % 4)
			word = (word & 0xffffffff00000000ull) | word % (j->v.max_entries + 2);
		__atomic_store_n(&file[where], word, __ATOMIC_RELAXED);
		j->n++;
		for (u32 i = 0; i < (r >> 40) % 64; i++)
			__builtin_ia32_pause();
	}
	return NULL;
}

static void *user(void *arg)
{
	struct job *j = arg;
	struct nt_caller c = mapfile_caller((u32)j->seed);
	u64 rnd = j->seed, value[8] = {0};

	while (!__atomic_load_n(j->stop, __ATOMIC_RELAXED)) {
		u64 r = mapfile_rand(&rnd), t = torture_now_ms();
		u32 key = (u32)(r >> 32) % 200, next;

		switch (r % 8) {
		case 0: map_lookup(&j->v, &c, &key); break;
		case 1: map_delete(&j->v, &c, &key); break;
		case 2: map_sys_lookup(&j->v, &c, &key, value); break;
		case 3: map_sys_lookup_and_delete(&j->v, &c, &key, value); break;
		case 4: map_next_key(&j->v, &key, &next); break;
		default: map_update(&j->v, &c, &key, value, BPF_ANY);
		}
		t = torture_now_ms() - t;
		if (t > j->worst)
			j->worst = t;
		j->n++;
	}
	return NULL;
}

static void run(u64 seed, u64 ms, u32 value_size)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_HASH, 4, value_size, 150, 0, 1);
	u64 until = torture_now_ms() + ms, worst = 0, n = 0;
	struct job jobs[4];
	pthread_t t[4];
	u32 stop = 0;

	for (u32 i = 0; i < 4; i++) {
		jobs[i] = (struct job){.v = v, .seed = seed + i, .stop = &stop};
		pthread_create(&t[i], NULL, i ? user : scribbler, &jobs[i]);
	}
	while (torture_now_ms() < until)
		usleep(10000);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	alarm(10);
	for (u32 i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		worst = jobs[i].worst > worst ? jobs[i].worst : worst;
		n += i ? jobs[i].n : 0;
	}
	alarm(0);
	tap_ok(worst < SLOW_MS,
	       "values of %u: %llu operations over %llu scribbles, the longest %llu ms", value_size,
	       (unsigned long long)n, (unsigned long long)jobs[0].n, (unsigned long long)worst);
	mapfile_free(&v);
}

int main(int argc, char **argv)
{
	struct torture t = torture_start(argc, argv, 2000);

	run(t.seed, t.ms / 2, 8);
	run(t.seed + 50, t.ms / 2, 40);
	return tap_done();
}
