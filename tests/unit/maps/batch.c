/* SPDX-License-Identifier: MIT */
/* map_hash_batch(): every element once, whatever the size of the batches, and while others come and go. */
#include <errno.h>
#include <pthread.h>

#include "mapfile.h"
#include "tap.h"

#define KEYS 500u
#define ROOM 512u

struct all {
	u32 seen[KEYS], wrong, batches;
};

static void put(const struct nt_map_view *v, u64 key)
{
	struct nt_caller c = mapfile_caller(1);
	u64 value[16] = {0};

	for (u32 i = 0; i < map_syscall_size(v) / 8; i++)
		value[i] = key * 3 + i;
	map_sys_update(v, &c, &key, value, BPF_ANY);
}

/* Walks with batches of `count`; returns how the last one ended. */
static int walk(const struct nt_map_view *v, u32 count, struct all *a)
{
	static u64 keys[ROOM], values[ROOM * 8];
	u32 bucket = 0, words = map_syscall_size(v) / 8, n;
	int r;

	memset(a, 0, sizeof(*a));
	do {
		n = count;
		r = map_hash_batch(v, &bucket, keys, values, &n);
		if (r == -ENOSPC && count < ROOM) /* what a loader does then */
			r = 0, count *= 2;
		a->wrong += n > count;
		for (u32 i = 0; i < n; i++) {
			if (keys[i] < KEYS)
				a->seen[keys[i]]++;
			for (u32 w = 0; w < words; w++)
				a->wrong += values[i * words + w] != keys[i] * 3 + w;
		}
		a->batches++;
	} while (!r);
	return r;
}

static u32 not_once(const struct all *a)
{
	u32 n = 0;

	for (u32 k = 0; k < KEYS; k++)
		n += a->seen[k] != 1;
	return n;
}

static void still(u32 type, u32 value, u32 ncpus, const char *what)
{
	static const u32 counts[] = {1, 3, 7, 64, ROOM};
	struct nt_map_view v = mapfile_new(type, 8, value, ROOM, 0, ncpus);
	struct all a;

	tap_ok(walk(&v, 3, &a) == -ENOENT && a.batches == 1, "%s: empty", what);
	for (u64 k = 0; k < KEYS; k++)
		put(&v, k);
	for (u32 i = 0; i < 5; i++) {
		int r = walk(&v, counts[i], &a);

		tap_ok(r == -ENOENT && !not_once(&a) && !a.wrong, "%s: every element once by %u", what, counts[i]);
	}
	mapfile_free(&v);
}

struct noise {
	const struct nt_map_view *v;
	u32 stop;
};

static void *make_noise(void *arg)
{
	struct noise *n = arg;
	struct nt_caller c = mapfile_caller(0);

	for (u64 i = 0; !__atomic_load_n(&n->stop, __ATOMIC_RELAXED); i++) {
		u64 key = KEYS + i % 12;

		put(n->v, key);
		put(n->v, i % KEYS);
		map_sys_delete(n->v, &c, &key);
	}
	return NULL;
}

static void in_motion(u32 value, const char *what)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_HASH, 8, value, ROOM, 0, 1);
	struct noise noise = {.v = &v};
	pthread_t thread;
	u32 bad = 0, wrong = 0, ends = 0;
	struct all a;

	for (u64 k = 0; k < KEYS; k++)
		put(&v, k);
	if (pthread_create(&thread, NULL, make_noise, &noise))
		exit(1);
	for (u32 i = 0; i < 300; i++) {
		ends += walk(&v, 16, &a) != -ENOENT;
		bad += not_once(&a);
		wrong += a.wrong;
	}
	__atomic_store_n(&noise.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	tap_eq(ends, 0, "%s: all walks come to the end", what);
	tap_eq(bad, 0, "%s: keys that stay are seen once", what);
	tap_eq(wrong, 0, "%s: with their own values", what);
	mapfile_free(&v);
}

int main(void)
{
	still(BPF_MAP_TYPE_HASH, 8, 1, "hash");
	still(BPF_MAP_TYPE_HASH, 40, 1, "hash of large values");
	still(BPF_MAP_TYPE_PERCPU_HASH, 8, 3, "per-CPU hash");
	in_motion(8, "others insert, change and delete");
	in_motion(64, "others replace values");
	return tap_done();
}
