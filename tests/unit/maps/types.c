/* SPDX-License-Identifier: MIT */
/* LRU, LPM trie, queue, stack, bloom filter, stack traces: what the parity test with the kernel does not look at. */
#include <errno.h>

#include "base/atomic.h"
#include "mapfile.h"
#include "tap.h"

static void test_lru(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_LRU_HASH, 4, 16, 64, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	u64 value[2] = {1, 2}, *p;
	u32 n = 0, bad = 0, hot = 0, next;

	for (u32 key = 0; key < 10000; key++) {
		value[0] = key;
		bad += map_update(&v, &c, &key, value, BPF_ANY) != 0;
		p = map_lookup(&v, &c, &key);
		bad += !p || p[0] != key;
		p = map_lookup(&v, &c, &hot); /* key 0, used all the time */
		bad += !p || p[0] != 0;
	}
	tap_eq(bad, 0, "LRU: 10000 keys go into 64 elements, and the used one stays");
	for (int r = map_next_key(&v, NULL, &next); !r && n < 1000; n++)
		r = map_next_key(&v, &next, &next);
	tap_ok(n <= 64 && n >= 32, "LRU: %u of 64 elements are in use", n);
	mapfile_free(&v);
}

static void test_lpm(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_LPM_TRIE, 8, 4, 100, BPF_F_NO_PREALLOC, 1);
	struct nt_caller c = mapfile_caller(0);
	struct {
		u32 len;
		u8 ip[4];
	} k = {8, {10, 1, 2, 3}}, next;
	u32 value = 8, *p;

	tap_eq(map_update(&v, &c, &k, &value, BPF_ANY), 0, "LPM: 10.1.2.3/8");
	tap_eq(map_next_key(&v, NULL, &next), 0, "LPM: next key");
	tap_ok(!memcmp(&next, &k, 8), "LPM: is listed as it was given");
	k.len = 20;
	value = 20;
	map_update(&v, &c, &k, &value, BPF_ANY);
	k.len = 32;
	p = map_lookup(&v, &c, &k);
	tap_ok(p && *p == 20, "LPM: 10.1.2.3 is in the /20");
	k.ip[2] = 200;
	p = map_lookup(&v, &c, &k);
	tap_ok(p && *p == 8, "LPM: 10.1.200.3 in the /8");
	k.ip[0] = 11;
	tap_ok(!map_lookup(&v, &c, &k), "LPM: 11.1.200.3 in none");
	k.len = 0;
	value = 0;
	map_update(&v, &c, &k, &value, BPF_ANY);
	k.len = 32;
	p = map_lookup(&v, &c, &k);
	tap_ok(p && *p == 0, "LPM: but in the default route");
	mapfile_free(&v);
}

static void test_stack_trace(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_STACK_TRACE, 4, 8 * 127, 64, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	u64 ips[200], got[127];
	s64 id, other = -1;
	u32 key;

	for (u32 i = 0; i < 200; i++)
		ips[i] = 0x400000 + i;
	id = stack_trace_put(&v, &c, ips, 5, 0);
	tap_ok(id >= 0 && id < 64, "stack trace: an id");
	tap_eq(stack_trace_put(&v, &c, ips, 5, 0), id, "stack trace: the same again");
	key = (u32)id;
	tap_eq(map_sys_lookup(&v, &c, &key, got), 0, "stack trace: lookup");
	tap_ok(!memcmp(got, ips, 40) && !got[5] && !got[126], "stack trace: 5 addresses, then zeroes");
	for (u32 n = 1; n < 128 && other != -EEXIST; n++) {
		ips[0]++;
		other = stack_trace_put(&v, &c, ips, n, 0);
	}
	tap_eq(other, -EEXIST, "stack trace: another stack with the same id");
	other = stack_trace_put(&v, &c, ips, 3, BPF_F_REUSE_STACKID);
	key = (u32)other;
	tap_ok(other >= 0 && !map_sys_lookup(&v, &c, &key, got) && got[0] == ips[0], "stack trace: takes its place");
	other = stack_trace_put(&v, &c, ips, 200, BPF_F_REUSE_STACKID);
	key = (u32)other;
	tap_ok(other >= 0 && !map_sys_lookup(&v, &c, &key, got) && got[126] == ips[126], "stack trace: cut to 127");
	tap_eq(map_sys_delete(&v, &c, &key), 0, "stack trace: delete");
	tap_eq(map_sys_lookup(&v, &c, &key, got), -ENOENT, "stack trace: gone");
	mapfile_free(&v);
}

static void test_reuse(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_QUEUE, 0, 8, 3, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	u64 value, bad = 0;

	for (u64 i = 0; i < 1000; i++)
		bad += map_push(&v, &c, &i, BPF_EXIST) != 0;
	for (u64 i = 997; i < 1000; i++)
		bad += map_pop(&v, &c, &value) != 0 || value != i;
	tap_eq(bad, 0, "queue: BPF_EXIST drops the oldest");
	/* A dead owner's lock, and half a push. */
	*(u32 *)(void *)v.base = 0x7fffffff;
	value = 5;
	tap_eq(map_push(&v, &c, &value, 0), 0, "queue: the lock of a dead thread is taken over");
	mapfile_free(&v);
}

static bool is_odd(u32 tid, void *arg)
{
	++*(u32 *)arg;
	return tid % 2;
}

#define TASKS 1000u

static void test_task_reap(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_TASK_STORAGE, 4, 24, 0, BPF_F_NO_PREALLOC, 1);
	struct nt_caller c = mapfile_caller(0);
	u64 value[3], ends[2] = {0};
	u32 asked = 0;

	for (u32 tid = 1; tid <= TASKS; tid++)
		for (u64 ns = 1; ns < 3; ns++)
			map_task_get(&v, &c, &(struct nt_task){ns, tid}, true, (u64[]){tid, ns, 3});
	tap_eq(map_task_reap(&v, &c, 1, is_odd, &asked), TASKS / 2, "task storage: those of the threads that are gone");
	tap_eq(asked, TASKS, "task storage: who is in another namespace is not asked for");
	for (u32 tid = 1; tid <= TASKS; tid++)
		for (u64 ns = 1; ns < 3; ns++)
			ends[ns - 1] += !map_task_lookup(&v, &(struct nt_task){ns, tid}, value) && value[0] == tid && value[1] == ns;
	tap_ok(ends[0] == TASKS / 2 && ends[1] == TASKS, "task storage: all others are there");
	tap_eq(map_task_reap(&v, &c, 1, is_odd, &asked), 0, "task storage: nothing left to free");
	mapfile_free(&v);
}

int main(void)
{
	test_task_reap();
	test_lru();
	test_lpm();
	test_stack_trace();
	test_reuse();
	return tap_done();
}
