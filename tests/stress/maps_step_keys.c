/* SPDX-License-Identifier: MIT */
/* Maps with keys: arrays, the hashes, task storage. */
#include "maps_step.h"

#define TOUCHED 3u /* the key that is changed or deleted */
#define KEYS 6u
#define ROOM 12u

static void fill_keys(struct nt_map_view *v, const struct nt_caller *c)
{
	for (u32 key = 0; key < KEYS; key++)
		map_update(v, c, &key, value_of(key), BPF_ANY);
}

static void op_insert(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 key = 100;

	map_update(v, c, &key, value_of(100), BPF_ANY);
}

static u32 bad_keys(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 bad = 0, there = 0;

	for (u32 key = 0; key < KEYS; key++) {
		const u64 *p = map_lookup(v, c, &key);

		there += p != NULL;
		bad += p && !is_value_of(p, key);
	}
	bad += there < 5; /* one may have been thrown out to make room */
	for (u32 key = 200; key < 206; key++) {
		const u64 *p;

		bad += map_update(v, c, &key, value_of(key), BPF_ANY) != 0;
		p = map_lookup(v, c, &key);
		bad += !p || !is_value_of(p, key);
	}
	return bad;
}

/* --- arrays and hashes with room --- */

static void op_update(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 key = TOUCHED;

	map_update(v, c, &key, value_of(50), BPF_ANY);
}

static void op_replace_all(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 key = TOUCHED;
	u64 value[8];

	memcpy(value, value_of(50), 32);
	memcpy(value + 4, value_of(50), 32);
	map_sys_update(v, c, &key, value, BPF_EXIST);
}

static void op_delete(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 key = TOUCHED;

	map_delete(v, c, &key);
}

static void op_take(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 key = TOUCHED;
	u64 value[8];

	map_sys_lookup_and_delete(v, c, &key, value);
}

static bool is_array(const struct nt_map_view *v)
{
	return v->type == BPF_MAP_TYPE_ARRAY || v->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* A program's own writes are not atomic in the kernel either: an array's element may be half old, half new; what may not
 * is an element of a hash, which is replaced as a whole. */
static u32 bad_touched(const struct nt_map_view *v, const u64 *p)
{
	bool in_place = is_array(v) || v->type == BPF_MAP_TYPE_PERCPU_HASH || v->type == BPF_MAP_TYPE_LRU_PERCPU_HASH;

	if (v->value_size == 8)
		return *p != TOUCHED * 1000 && *p != 50 * 1000;
	return !in_place && !is_value_of(p, TOUCHED) && !is_value_of(p, 50);
}

static bool is_right(const struct nt_map_view *v, const u64 *p, u64 n)
{
	return v->value_size == 8 ? *p == n * 1000 : is_value_of(p, n);
}

/* All other keys; then the map must take as many as it has room for, less one element that may be lost. */
static u32 bad_others(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 bad = 0, n = 0;

	for (u32 key = 0; key < KEYS; key++) {
		const u64 *p = map_lookup(v, c, &key);

		if (key == TOUCHED)
			bad += p && bad_touched(v, p);
		else
			bad += !p || !is_right(v, p, key);
	}
	for (u32 key = 0; key < v->max_entries; key++) {
		const u64 *p;

		if (map_update(v, c, &key, value_of(key + 300), BPF_ANY))
			continue;
		p = map_lookup(v, c, &key);
		bad += !p || !is_right(v, p, key + 300);
		n++;
	}
	bad += n + 1 < v->max_entries;
	for (u32 key = 0; key < v->max_entries && !is_array(v); key++)
		n -= !map_delete(v, c, &key);
	return bad + (!is_array(v) && n);
}

/* --- task storage --- */

static struct nt_task task(u32 tid)
{
	return (struct nt_task){.ns = 4026531836u, .tid = tid};
}

static void fill_tasks(struct nt_map_view *v, const struct nt_caller *c)
{
	for (u32 tid = 1; tid <= KEYS; tid++) {
		struct nt_task t = task(tid);

		map_task_get(v, c, &t, true, value_of(tid));
	}
}

static void op_tasks(struct nt_map_view *v, const struct nt_caller *c)
{
	struct nt_task made = task(50), gone = task(TOUCHED);

	map_task_get(v, c, &made, true, value_of(50));
	map_task_delete(v, c, &gone);
}

static u32 bad_tasks(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 bad = 0;

	for (u32 tid = 1; tid <= KEYS; tid++) {
		struct nt_task t = task(tid);
		const u64 *p = map_task_get(v, c, &t, false, NULL);

		bad += tid != TOUCHED ? !p || !is_value_of(p, tid) : p && !is_value_of(p, tid);
	}
	for (u32 tid = 100; tid < 110; tid++) {
		struct nt_task t = task(tid);
		const u64 *p = map_task_get(v, c, &t, true, value_of(tid));

		bad += !p || !is_value_of(p, tid);
		bad += map_task_delete(v, c, &t) != 0;
	}
	return bad;
}

const struct scene scenes_keys[] = {
    {"array: update", BPF_MAP_TYPE_ARRAY, 4, 32, ROOM, 0, fill_keys, op_update, bad_others},
    {"per-CPU array: update", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 32, ROOM, 0, fill_keys, op_update, bad_others},
    {"hash: insert", BPF_MAP_TYPE_HASH, 4, 32, ROOM, 0, fill_keys, op_insert, bad_others},
    {"hash: replace", BPF_MAP_TYPE_HASH, 4, 32, ROOM, 0, fill_keys, op_update, bad_others},
    {"hash: change a small value", BPF_MAP_TYPE_HASH, 4, 8, ROOM, 0, fill_keys, op_update, bad_others},
    {"hash: delete", BPF_MAP_TYPE_HASH, 4, 32, ROOM, 0, fill_keys, op_delete, bad_others},
    {"hash: look up and delete", BPF_MAP_TYPE_HASH, 4, 32, ROOM, 0, fill_keys, op_take, bad_others},
    {"per-CPU hash: insert", BPF_MAP_TYPE_PERCPU_HASH, 4, 32, ROOM, 0, fill_keys, op_insert, bad_others},
    {"per-CPU hash: update", BPF_MAP_TYPE_PERCPU_HASH, 4, 32, ROOM, 0, fill_keys, op_update, bad_others},
    {"per-CPU hash: replace all values", BPF_MAP_TYPE_PERCPU_HASH, 4, 32, ROOM, 0, fill_keys, op_replace_all, bad_others},
    {"per-CPU hash: delete", BPF_MAP_TYPE_PERCPU_HASH, 4, 32, ROOM, 0, fill_keys, op_delete, bad_others},
    {"LRU hash: insert into a full one", BPF_MAP_TYPE_LRU_HASH, 4, 32, 6, 0, fill_keys, op_insert, bad_keys},
    {"LRU per-CPU hash: insert into a full one", BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 32, 6, 0, fill_keys, op_insert, bad_keys},
    {"task storage: make one, delete one", BPF_MAP_TYPE_TASK_STORAGE, 4, 32, 0, BPF_F_NO_PREALLOC, fill_tasks, op_tasks,
     bad_tasks},
    {0},
};
