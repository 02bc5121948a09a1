/* SPDX-License-Identifier: MIT */
/* Hash and per-CPU hash: every result and errno, key and value sizes, iteration, the exact limit.
 */
#include <errno.h>

#include "mapfile.h"
#include "maps/hash.h"
#include "tap.h"

static void results(u32 value_size)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_HASH, 4, value_size, 3, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	u32 k = 1, miss = 9;
	u8 a[64] = "first value, long enough", b[64] = "second value, long enough",
	   out[64] = "untouched";
	void *p;

	tap_ok(!map_lookup(&v, &c, &k), "value of %u: lookup in an empty map", value_size);
	tap_eq(map_sys_lookup(&v, &c, &k, out), -ENOENT, "system call's lookup misses");
	tap_eq(map_sys_lookup_and_delete(&v, &c, &k, out), -ENOENT, "lookup and delete misses");
	tap_ok(!strcmp((char *)out, "untouched"), "outputs are untouched");
	tap_eq(map_delete(&v, &c, &k), -ENOENT, "delete misses");
	tap_eq(map_update(&v, &c, &k, a, BPF_EXIST), -ENOENT, "EXIST misses");
	tap_eq(map_update(&v, &c, &k, a, 3), -EINVAL, "flags above EXIST");
	tap_eq(map_update(&v, &c, &k, a, BPF_F_LOCK), -EINVAL, "lock without a lock");
	tap_eq(map_sys_update(&v, &c, &k, a, BPF_F_LOCK), -EINVAL, "system call: the same");
	tap_eq(map_update(&v, &c, &k, a, BPF_NOEXIST), 0, "NOEXIST inserts");
	tap_eq(map_update(&v, &c, &k, b, BPF_NOEXIST), -EEXIST, "NOEXIST refuses the second time");
	p = map_lookup(&v, &c, &k);
	tap_ok(p && (u64)p % 8 == 0 && !memcmp(p, a, value_size), "lookup gives an aligned value");
	tap_eq(map_update(&v, &c, &k, b, BPF_EXIST), 0, "EXIST updates");
	p = map_lookup(&v, &c, &k);
	tap_ok(p && !memcmp(p, b, value_size), "the new value is there");
	for (k = 2; k <= 3; k++)
		tap_eq(map_sys_update(&v, &c, &k, a, BPF_ANY), 0, "insert %u", k);
	tap_eq(map_sys_update(&v, &c, &miss, a, BPF_ANY), -E2BIG, "full at max_entries");
	tap_eq(map_update(&v, &c, &miss, a, BPF_NOEXIST), -E2BIG, "full for programs too");
	tap_eq(map_update(&v, &c, &miss, a, BPF_EXIST), -ENOENT,
	       "EXIST of a missing key in a full map");
	k = 2;
	tap_eq(map_sys_update(&v, &c, &k, b, BPF_ANY), 0,
	       "an existing key can be updated in a full map");
	tap_eq(map_sys_lookup_and_delete(&v, &c, &k, out), 0, "lookup and delete");
	tap_ok(!memcmp(out, b, value_size), "gives the value");
	tap_ok(!map_lookup(&v, &c, &k), "and the key is gone");
	tap_eq(map_sys_update(&v, &c, &miss, a, BPF_ANY), 0, "its place can be used");
	tap_eq(map_sys_update(&v, &c, &k, a, BPF_ANY), -E2BIG, "once");
	mapfile_free(&v);
}

static void percpu(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_PERCPU_HASH, 8, 12, 2, 0, 3);
	struct nt_caller c0 = mapfile_caller(0), c2 = mapfile_caller(2), c3 = mapfile_caller(3);
	u64 k = 5, other = 6, third = 7;
	u8 a[12] = "hello world", in[48], out[48];
	u8 zero[16] = {0};

	for (u32 i = 0; i < 48; i++)
		in[i] = (u8)(i + 1);
	tap_eq(map_syscall_size(&v), 48, "per-CPU: a system call's value has every CPU's");
	tap_eq(map_update(&v, &c3, &k, a, BPF_ANY), -EINVAL, "update for a CPU that is not there");
	tap_eq(map_sys_update(&v, &c0, &k, in, BPF_NOEXIST), 0, "system call inserts");
	tap_eq(map_sys_lookup(&v, &c0, &k, out), 0, "system call looks up");
	tap_ok(!memcmp(in, out, 48), "all CPUs' values, padding included");
	tap_ok(!memcmp(map_lookup(&v, &c2, &k), in + 32, 12), "program reads its own CPU's");
	tap_ok(!map_lookup(&v, &c3, &k), "lookup for a CPU that is not there");
	tap_eq(map_update(&v, &c2, &k, a, BPF_EXIST), 0, "program updates its own CPU's");
	map_sys_lookup(&v, &c0, &k, out);
	tap_ok(!memcmp(out, in, 32) && !memcmp(out + 32, a, 12), "and only that");
	tap_eq(map_delete(&v, &c0, &k), 0, "delete");
	for (k = 5; k <= 6; k++)
		tap_eq(map_update(&v, &c2, &k, a, BPF_NOEXIST), 0, "program inserts");
	map_sys_lookup(&v, &c0, &other, out);
	tap_ok(!memcmp(out, zero, 16) && !memcmp(out + 16, zero, 16) && !memcmp(out + 32, a, 12) &&
		   !memcmp(out + 44, zero, 4),
	       "a reused element is zero for the other CPUs");
	tap_eq(map_update(&v, &c2, &third, a, BPF_ANY), -E2BIG, "full");
	tap_eq(map_sys_update(&v, &c2, &other, in, BPF_ANY), 0,
	       "system call's update in a full map");
	tap_eq(map_sys_lookup_and_delete(&v, &c0, &other, out), 0, "lookup and delete");
	tap_ok(!memcmp(in, out, 48), "gives all CPUs' values");
	mapfile_free(&v);
}

/* key i of any size: the bytes differ somewhere, perhaps only in one byte */
static void make_key(u8 *key, u32 size, u32 i)
{
	memset(key, 0x5a, size);
	memcpy(key + (size > 4 ? size - 4 : 0), &i, size < 4 ? size : 4);
}

static void sizes(u32 key_size, u32 value_size)
{
	u32 n = key_size == 1 ? 200 : 500, bad = 0;
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_HASH, key_size, value_size, n, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	u8 key[64], value[64], out[64];

	for (u32 i = 0; i < n; i++) {
		make_key(key, key_size, i);
		memset(value, (int)i + 1, value_size);
		bad += map_sys_update(&v, &c, key, value, BPF_NOEXIST) != 0;
	}
	for (u32 round = 0; round < 2; round++) {
		for (u32 i = 0; i < n; i++) {
			make_key(key, key_size, i);
			memset(value, (int)(i + 1 + round), value_size);
			bad +=
			    map_sys_lookup(&v, &c, key, out) != 0 || memcmp(out, value, value_size);
			memset(value, (int)(i + 2 + round), value_size);
			bad += map_sys_update(&v, &c, key, value, BPF_EXIST) != 0;
		}
	}
	for (u32 i = 0; i < n; i += 2) {
		make_key(key, key_size, i);
		bad += map_delete(&v, &c, key) != 0;
	}
	for (u32 i = 0; i < n; i++) {
		make_key(key, key_size, i);
		bad += (map_lookup(&v, &c, key) != NULL) != (i % 2 == 1);
	}
	tap_eq(bad, 0, "keys of %u, values of %u bytes", key_size, value_size);
	mapfile_free(&v);
}

static void iterate(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_HASH, 4, 4, 1000, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	u32 k = 0, next = 0, unknown = 5000, first, n = 0;
	u8 seen[1000] = {0};
	int r;

	tap_eq(map_next_key(&v, NULL, &next), -ENOENT, "an empty map has no first key");
	tap_eq(map_next_key(&v, &k, &next), -ENOENT, "nor a next one");
	for (k = 0; k < 1000; k++)
		map_update(&v, &c, &k, &k, BPF_ANY);
	for (r = map_next_key(&v, NULL, &next); !r; r = map_next_key(&v, &k, &next)) {
		k = next;
		n += k < 1000 && !seen[k]++;
	}
	tap_eq(r, -ENOENT, "iteration ends");
	tap_eq(n, 1000, "after every key once");
	map_next_key(&v, NULL, &first);
	tap_ok(!map_next_key(&v, &unknown, &next) && next == first,
	       "an unknown key starts from the beginning");
	for (n = 0; !map_next_key(&v, NULL, &k); n++)
		map_sys_delete(&v, &c, &k);
	tap_eq(n, 1000, "deleting the first key until none is left");
	mapfile_free(&v);
}

/* A killed deleter leaves a removed element in the chain: it must neither be found nor break
 * anything. */
static void dead_links(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_HASH, 4, 16, 1, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	struct hash_elem *e = hash_elem(&v, 1);
	u8 val[16] = "v";
	u32 k = 1, next;

	map_update(&v, &c, &k, val, BPF_ANY);
	tap_ok(e->next == link_after(0, 0, 0), "the first element is used first");
	e->next = link_after(e->next, 0, HASH_REMOVED);
	tap_ok(!map_lookup(&v, &c, &k), "a dead link is not found");
	tap_eq(map_next_key(&v, NULL, &next), -ENOENT, "nor listed");
	tap_eq(map_delete(&v, &c, &k), -ENOENT, "nor deleted");
	tap_eq(map_update(&v, &c, &k, val, BPF_ANY), -E2BIG, "its element is lost");
	hash_pool_give(&v, 0, HASH_ENTRY, 1); /* wrong on purpose: given back while linked */
	tap_ok(!map_lookup(&v, &c, &k), "an element in two lists is no endless loop");
	mapfile_free(&v);
}

int main(void)
{
	static const u32 keys[] = {1, 2, 3, 4, 7, 8, 12, 16, 20, 33, 64},
			 values[] = {1, 4, 7, 8, 9, 16, 64};

	results(4);
	results(8);
	results(24);
	percpu();
	for (u32 i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		for (u32 j = 0; j < sizeof(values) / sizeof(values[0]); j++)
			sizes(keys[i], values[j]);
	iterate();
	dead_links();
	return tap_done();
}
