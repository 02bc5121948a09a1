/* SPDX-License-Identifier: MIT */
/* Array and per-CPU array: every result and errno of both sides. */
#include <errno.h>

#include "mapfile.h"
#include "tap.h"

static void array(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_ARRAY, 4, 12, 3, BPF_F_MMAPABLE, 1);
	struct nt_caller c = mapfile_caller(0);
	u32 k = 0, out, bad = 3;
	u8 a[12] = "hello world", b[12];

	tap_ok(map_lookup(&v, &c, &k) == v.base, "element 0 is at the base");
	k = 2;
	tap_ok(map_lookup(&v, &c, &k) == v.base + 32, "element 2 is two strides behind");
	tap_ok(!map_lookup(&v, &c, &bad), "lookup behind the end: NULL");
	tap_eq(map_sys_lookup(&v, &c, &bad, b), -ENOENT, "system call's lookup behind the end");
	tap_eq(map_update(&v, &c, &k, a, BPF_ANY), 0, "update");
	tap_eq(map_sys_lookup(&v, &c, &k, b), 0, "lookup");
	tap_ok(!memcmp(a, b, 12), "the value comes back");
	tap_eq(map_sys_update(&v, &c, &k, a, BPF_EXIST), 0, "update of what exists");
	tap_eq(map_sys_update(&v, &c, &k, a, BPF_NOEXIST), -EEXIST, "every element exists");
	tap_eq(map_sys_update(&v, &c, &bad, a, BPF_ANY), -E2BIG, "update behind the end");
	tap_eq(map_sys_update(&v, &c, &bad, a, BPF_NOEXIST), -E2BIG,
	       "the index is looked at before NOEXIST");
	tap_eq(map_sys_update(&v, &c, &bad, a, 3), -EINVAL, "the flags before the index");
	tap_eq(map_sys_update(&v, &c, &bad, a, BPF_F_LOCK), -EINVAL,
	       "system call: lock without a lock, first of all");
	tap_eq(map_update(&v, &c, &bad, a, BPF_F_LOCK), -E2BIG,
	       "program: lock without a lock, last of all");
	tap_eq(map_update(&v, &c, &k, a, BPF_F_LOCK), -EINVAL, "program: lock without a lock");
	tap_eq(map_delete(&v, &c, &k), -EINVAL, "program's delete");
	tap_eq(map_sys_delete(&v, &c, &bad), -EINVAL, "system call's delete");
	tap_eq(map_sys_lookup_and_delete(&v, &c, &k, b), -NT_ENOTSUPP, "lookup and delete");
	tap_ok(!map_next_key(&v, NULL, &out) && out == 0, "first key");
	k = 0;
	tap_ok(!map_next_key(&v, &k, &out) && out == 1, "next key");
	k = 2;
	tap_eq(map_next_key(&v, &k, &out), -ENOENT, "no key behind the last");
	tap_ok(!map_next_key(&v, &bad, &out) && out == 0,
	       "an unknown key starts from the beginning");
	mapfile_free(&v);
}

static void percpu(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4, 5, 0, 3);
	struct nt_caller c1 = mapfile_caller(1), c2 = mapfile_caller(2), c3 = mapfile_caller(3);
	u32 k = 4, bad = 5, x = 77;
	u64 in[3] = {0x1122334455667788ull, 2, 3}, out[3];

	tap_ok(map_lookup(&v, &c2, &k) == v.base + 2 * v.cpu_stride + 4 * v.value_stride,
	       "the JIT's formula");
	tap_ok(!map_lookup(&v, &c2, &bad), "lookup behind the end");
	tap_ok(!map_lookup(&v, &c3, &k), "a CPU that is not there");
	tap_eq(map_update(&v, &c3, &k, &x, BPF_ANY), -EINVAL, "update for a CPU that is not there");
	tap_eq(map_sys_update(&v, &c1, &k, in, BPF_ANY), 0, "system call writes all CPUs");
	tap_eq(map_update(&v, &c1, &k, &x, BPF_ANY), 0, "program writes its own");
	tap_eq(map_sys_lookup(&v, &c1, &k, out), 0, "system call reads all CPUs");
	tap_ok(out[0] == in[0] && out[1] == 77 && out[2] == 3, "and gets each, padding included");
	tap_eq(*(u32 *)map_lookup(&v, &c1, &k), 77, "program reads its own");
	tap_eq(map_sys_update(&v, &c1, &bad, in, BPF_ANY), -E2BIG, "update behind the end");
	tap_eq(map_sys_update(&v, &c1, &k, in, BPF_NOEXIST), -EEXIST, "every element exists");
	tap_eq(map_sys_update(&v, &c1, &k, in, 4), -EINVAL, "lock");
	tap_eq(map_sys_update(&v, &c1, &k, in, 8), -EINVAL, "unknown flag");
	tap_eq(map_sys_lookup(&v, &c1, &bad, out), -ENOENT, "system call's lookup behind the end");
	tap_eq(map_sys_delete(&v, &c1, &k), -EINVAL, "delete");
	tap_eq(map_sys_lookup_and_delete(&v, &c1, &k, out), -NT_ENOTSUPP, "lookup and delete");
	mapfile_free(&v);
}

static void widths(void)
{
	for (u32 size = 1; size <= 24; size++) {
		struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_ARRAY, 4, size, 4, 0, 1);
		struct nt_caller c = mapfile_caller(0);
		u8 want[4][24], got[24];
		bool ok = true;

		for (u32 k = 0; k < 4; k++) {
			for (u32 i = 0; i < size; i++)
				want[k][i] = (u8)(k * 50 + i + 1);
			map_sys_update(&v, &c, &k, want[k], BPF_ANY);
		}
		for (u32 k = 0; k < 4; k++)
			ok &= !map_sys_lookup(&v, &c, &k, got) && !memcmp(got, want[k], size);
		tap_ok(ok, "values of %u bytes", size);
		mapfile_free(&v);
	}
}

int main(void)
{
	array();
	percpu();
	widths();
	return tap_done();
}
