/* SPDX-License-Identifier: MIT */
/*
 * SIGKILL at any instruction: children hammer one map and are killed at random moments. The map
 * must stay usable and consistent for everybody else; each kill may cost at most one element of the
 * map.
 */
#include <errno.h>

#include "mapfile.h"
#include "tap.h"
#include "torture.h"

#define CHILDREN 3u
#define ENTRIES 512u /* more than kills, so that the count of lost elements says something */
#define KEYS 700u    /* more than fit: full maps and refusals are part of it */

struct job {
	struct nt_map_view v;
	u64 seed;
	u32 *beat;
};

static int hammer(void *arg)
{
	struct job *j = arg;
	struct nt_caller c = mapfile_caller((u32)j->seed % 16);
	u64 value[4];

	for (;;) {
		u64 rnd = mapfile_rand(&j->seed);
		u32 key = (u32)(rnd >> 32) % KEYS;

		for (u32 i = 0; i < 4; i++)
			value[i] = (u64)key << 32 | (u32)rnd;
		switch (rnd % 8) {
		case 0:
		case 1: map_delete(&j->v, &c, &key); break;
		case 2: map_sys_lookup_and_delete(&j->v, &c, &key, value); break;
		case 3: map_lookup(&j->v, &c, &key); break;
		default: map_update(&j->v, &c, &key, value, rnd % 3);
		}
		__atomic_store_n(j->beat, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* Keys are there once, values belong to their keys. */
static u32 verify(struct nt_map_view *v, const struct nt_caller *c, u32 *ret_count)
{
	u8 seen[KEYS] = {0};
	u64 value[4];
	u32 key = 0, next, bad = 0, n = 0;
	int r;

	for (r = map_next_key(v, NULL, &next); !r && n <= ENTRIES;
	     r = map_next_key(v, &key, &next), n++) {
		key = next;
		bad += key >= KEYS || seen[key]++;
		bad += map_sys_lookup(v, c, &key, value) != 0 || value[0] >> 32 != key;
		if (v->value_size > 8)
			bad += value[1] != value[0] || value[3] != value[0];
	}
	bad += r != -ENOENT;
	for (key = 0; key < KEYS; key++)
		bad += (map_lookup(v, c, &key) != NULL) != seen[key];
	*ret_count = n;
	return bad;
}

struct scene {
	struct job j;
	struct nt_caller c;
	pid_t pid[CHILDREN];
	u64 rnd;
	u32 kills, bad, stalls;
};

static void start(struct scene *s, u32 i)
{
	s->j.seed = mapfile_rand(&s->rnd);
	s->pid[i] = torture_fork(hammer, &s->j);
}

static void stop(struct scene *s, u32 i)
{
	kill(s->pid[i], SIGKILL);
	waitpid(s->pid[i], NULL, 0);
	s->kills++;
}

/* All are dead: look at what they left, and see that new ones can work with it. */
static void inspect(struct scene *s)
{
	u32 count;

	for (u32 i = 0; i < CHILDREN; i++)
		stop(s, i);
	s->bad += verify(&s->j.v, &s->c, &count) + (count > ENTRIES);
	__atomic_store_n(s->j.beat, 0, __ATOMIC_RELAXED);
	for (u32 i = 0; i < CHILDREN; i++)
		start(s, i);
	for (u32 i = 0; i < 2000 && !__atomic_load_n(s->j.beat, __ATOMIC_RELAXED); i++)
		usleep(1000);
	s->stalls += !__atomic_load_n(s->j.beat, __ATOMIC_RELAXED);
}

/* Empties the map and counts how many elements it still has. */
static u32 measure(struct scene *s)
{
	u32 count, room = 0;
	u64 value[4];

	s->bad += verify(&s->j.v, &s->c, &count);
	for (u32 key = 0; key < KEYS; key++)
		map_delete(&s->j.v, &s->c, &key);
	s->bad += verify(&s->j.v, &s->c, &count) + count;
	for (u32 key = 0; key < KEYS; key++) {
		value[0] = value[1] = value[2] = value[3] = (u64)key << 32;
		room += map_update(&s->j.v, &s->c, &key, value, BPF_NOEXIST) == 0;
	}
	s->bad += verify(&s->j.v, &s->c, &count) + (count != room);
	return room;
}

static void torture(u64 seed, u64 ms, u32 value_size)
{
	struct scene s = {.j.beat = torture_shared(4096), .c = mapfile_caller(3), .rnd = seed};
	u64 until = torture_now_ms() + ms;
	u32 room;

	s.j.v = mapfile_new(BPF_MAP_TYPE_HASH, 4, value_size, ENTRIES, 0, 1);
	for (u32 i = 0; i < CHILDREN; i++)
		start(&s, i);
	for (u32 n = 1; torture_now_ms() < until && s.kills < ENTRIES * 3 / 4; n++) {
		u32 victim = (u32)(mapfile_rand(&s.rnd) % CHILDREN);

		usleep((useconds_t)(mapfile_rand(&s.rnd) % 3000));
		stop(&s, victim);
		start(&s, victim);
		if (n % 32 == 0)
			inspect(&s);
	}
	for (u32 i = 0; i < CHILDREN; i++)
		stop(&s, i);
	room = measure(&s);
	tap_eq(s.bad, 0, "values of %u: consistent after %u kills", value_size, s.kills);
	tap_eq(s.stalls, 0, "values of %u: nobody ever hangs", value_size);
	tap_ok(room <= ENTRIES && ENTRIES - room <= s.kills,
	       "values of %u: %u of %u elements lost, at most one per kill", value_size,
	       ENTRIES - room, ENTRIES);
	mapfile_free(&s.j.v);
}

int main(int argc, char **argv)
{
	struct torture t = torture_start(argc, argv, 3000);

	torture(t.seed, t.ms / 2, 8);
	torture(t.seed + 1, t.ms / 2, 32);
	return tap_done();
}
