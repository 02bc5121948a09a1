/* SPDX-License-Identifier: MIT */
/*
 * SIGKILL at any instruction: children hammer one map and are killed at random moments. The map must stay usable
 * and consistent for everybody else; each kill may cost at most one element of the map.
 */
#include <errno.h>

#include "mapfile.h"
#include "tap.h"
#include "torture.h"

#define ENTRIES 64u
#define KEYS 96u /* more than fit: full maps and refusals are part of it */

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
		case 1:
			map_delete(&j->v, &c, &key);
			break;
		case 2:
			map_sys_lookup_and_delete(&j->v, &c, &key, value);
			break;
		case 3:
			map_lookup(&j->v, &c, &key);
			break;
		default:
			map_update(&j->v, &c, &key, value, rnd % 3);
		}
		__atomic_store_n(j->beat, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* Keys are there once, values belong to their keys. */
static u32 verify(struct nt_map_view *v, const struct nt_caller *c, u32 *ret_count)
{
	u8 seen[KEYS] = { 0 };
	u64 value[4];
	u32 key = 0, next, bad = 0, n = 0;
	int r;

	for (r = map_next_key(v, NULL, &next); !r && n <= ENTRIES; r = map_next_key(v, &key, &next), n++) {
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

static void torture(u64 seed, u64 ms, u32 value_size)
{
	struct job j = { .seed = seed, .beat = torture_shared(4096) };
	struct nt_caller c = mapfile_caller(3);
	u64 until = torture_now_ms() + ms, rnd = seed, value[4] = { 0 };
	u32 kills = 0, bad = 0, count, room = 0, lost, stalls = 0;
	pid_t pid[3];

	j.v = mapfile_new(BPF_MAP_TYPE_HASH, 4, value_size, ENTRIES, 0, 1);
	for (u32 i = 0; i < 3; i++) {
		j.seed = mapfile_rand(&rnd);
		pid[i] = torture_fork(hammer, &j);
	}
	while (torture_now_ms() < until) {
		u32 victim = (u32)(mapfile_rand(&rnd) % 3);

		usleep((useconds_t)(mapfile_rand(&rnd) % 3000));
		kill(pid[victim], SIGKILL);
		waitpid(pid[victim], NULL, 0);
		kills++;
		if (kills % 32 == 0) { /* all dead: look at what they left */
			for (u32 i = 0; i < 3; i++) {
				if (i == victim)
					continue;
				kill(pid[i], SIGKILL);
				waitpid(pid[i], NULL, 0);
				kills++;
				j.seed = mapfile_rand(&rnd);
			}
			bad += verify(&j.v, &c, &count) + (count > ENTRIES);
			for (u32 i = 0; i < 3; i++) {
				j.seed = mapfile_rand(&rnd);
				pid[i] = torture_fork(hammer, &j);
			}
			__atomic_store_n(j.beat, 0, __ATOMIC_RELAXED);
			for (u32 i = 0; i < 2000 && !__atomic_load_n(j.beat, __ATOMIC_RELAXED); i++)
				usleep(1000);
			stalls += !__atomic_load_n(j.beat, __ATOMIC_RELAXED);
			continue;
		}
		j.seed = mapfile_rand(&rnd);
		pid[victim] = torture_fork(hammer, &j);
	}
	for (u32 i = 0; i < 3; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
		kills++;
	}
	bad += verify(&j.v, &c, &count);
	for (u32 key = 0; key < KEYS; key++)
		map_delete(&j.v, &c, &key);
	bad += verify(&j.v, &c, &count) + count;
	for (u32 key = 0; key < KEYS; key++) {
		value[0] = value[1] = value[2] = value[3] = (u64)key << 32;
		room += map_update(&j.v, &c, &key, value, BPF_NOEXIST) == 0;
	}
	bad += verify(&j.v, &c, &count) + (count != room);
	lost = ENTRIES - room;
	tap_eq(bad, 0, "values of %u: consistent after %u kills", value_size, kills);
	tap_eq(stalls, 0, "values of %u: nobody ever hangs", value_size);
	tap_ok(room <= ENTRIES && lost <= kills, "values of %u: %u of %u elements lost", value_size, lost, ENTRIES);
	mapfile_free(&j.v);
}

int main(int argc, char **argv)
{
	struct torture t = torture_start(argc, argv, 3000);

	torture(t.seed, t.ms / 2, 8);
	torture(t.seed + 1, t.ms / 2, 32);
	return tap_done();
}
