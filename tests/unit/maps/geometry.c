/* SPDX-License-Identifier: MIT */
/* What BPF_MAP_CREATE refuses, and where the contract says things lie. */
#include <errno.h>

#include "mapfile.h"
#include "tap.h"

static void check(int want, const char *what, struct nt_map_view v)
{
	struct nt_map_view before = v;
	int r = map_geometry(&v);

	tap_eq(r, want, "%s", what);
	if (r < 0)
		tap_ok(!memcmp(&before, &v, sizeof(v)), "%s: the view is untouched", what);
}

#define REFUSE(err, what, ...) check(err, what, mapfile_spec(__VA_ARGS__))

static void refuse_array(void)
{
	u32 t = BPF_MAP_TYPE_ARRAY, p = BPF_MAP_TYPE_PERCPU_ARRAY;

	REFUSE(-EINVAL, "array: no entries", t, 4, 8, 0, 0, 1);
	REFUSE(-EINVAL, "array: key of 8", t, 8, 8, 1, 0, 1);
	REFUSE(-EINVAL, "array: no value", t, 4, 0, 1, 0, 1);
	REFUSE(-EINVAL, "array: unknown flag", t, 4, 8, 1, BPF_F_NO_PREALLOC, 1);
	REFUSE(-EINVAL, "array: read-only and write-only", t, 4, 8, 1,
	       BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG, 1);
	REFUSE(-E2BIG, "array: value of 2 GB", t, 4, 0x80000000u, 1, 0, 1);
	REFUSE(-ENOMEM, "array: too much memory", t, 4, 0x7ffffff0u, 0xffffffffu, 0, 1);
	REFUSE(0, "array: mmapable", t, 4, 8, 1, BPF_F_MMAPABLE, 1);
	REFUSE(-EINVAL, "per-CPU array: not mmapable", p, 4, 8, 1, BPF_F_MMAPABLE, 2);
	REFUSE(-E2BIG, "per-CPU array: value above 32 KB", p, 4, 32769, 1, 0, 2);
	REFUSE(0, "per-CPU array: value of 32 KB", p, 4, 32768, 1, 0, 2);
	REFUSE(-EINVAL, "per-CPU array: numa node", p, 4, 8, 1, BPF_F_NUMA_NODE, 2);
	REFUSE(-ENOMEM, "per-CPU array: too much memory", p, 4, 32768, 0xffffffffu, 0, 512);
}

static void refuse_hash(void)
{
	u32 t = BPF_MAP_TYPE_HASH, p = BPF_MAP_TYPE_PERCPU_HASH;

	REFUSE(-EINVAL, "hash: no entries", t, 4, 8, 0, 0, 1);
	REFUSE(-EINVAL, "hash: no key", t, 0, 8, 1, 0, 1);
	REFUSE(-EINVAL, "hash: no value", t, 4, 0, 1, 0, 1);
	REFUSE(-EINVAL, "hash: mmapable", t, 4, 8, 1, BPF_F_MMAPABLE, 1);
	REFUSE(-EINVAL, "hash: LRU flag", t, 4, 8, 1, BPF_F_NO_COMMON_LRU, 1);
	REFUSE(-E2BIG, "hash: element above 4 MB", t, 4, 4u << 20, 1, 0, 1);
	REFUSE(-E2BIG, "hash: too many buckets", t, 4, 8, (1u << 27) + 1, 0, 1);
	REFUSE(-E2BIG, "hash: 2^32 - 1 entries", t, 4, 8, 0xffffffffu, 0, 1);
	REFUSE(-ENOMEM, "hash: too much memory", t, 4, 4000, 1u << 27, 0, 1);
	REFUSE(0, "hash: not preallocated, zero seed", t, 4, 8, 1,
	       BPF_F_NO_PREALLOC | BPF_F_ZERO_SEED, 1);
	REFUSE(-E2BIG, "per-CPU hash: value above 32 KB", p, 4, 32769, 1, 0, 2);
	REFUSE(-EINVAL, "per-CPU hash: numa node", p, 4, 8, 1, BPF_F_NUMA_NODE, 2);
}

static void refuse_ring(void)
{
	u32 t = BPF_MAP_TYPE_RINGBUF;

	REFUSE(-EINVAL, "ring: has a key", t, 4, 0, 4096, 0, 1);
	REFUSE(-EINVAL, "ring: has a value", t, 0, 4, 4096, 0, 1);
	REFUSE(-EINVAL, "ring: empty", t, 0, 0, 0, 0, 1);
	REFUSE(-EINVAL, "ring: below a page", t, 0, 0, 2048, 0, 1);
	REFUSE(-EINVAL, "ring: no power of two", t, 0, 0, 3 * 4096, 0, 1);
	REFUSE(-EINVAL, "ring: flag", t, 0, 0, 4096, BPF_F_MMAPABLE, 1);
	REFUSE(0, "ring: 2 GB", t, 0, 0, 1u << 31, 0, 1);
	REFUSE(-EOPNOTSUPP, "a type we do not have", BPF_MAP_TYPE_SOCKMAP, 4, 4, 1, 0, 1);
}

static void layout(void)
{
	struct nt_map_view v = mapfile_spec(BPF_MAP_TYPE_ARRAY, 4, 13, 1000, 0, 7);

	map_geometry(&v);
	tap_eq(v.data_off, 0, "array: values at offset 0");
	tap_eq(v.value_stride, 16, "array: stride is rounded to 8");
	tap_eq(v.ncpus, 1, "array: one copy");
	tap_eq(v.size, 16384, "array: whole pages");
	tap_eq(map_syscall_size(&v), 13, "array: a system call's value is as large as stated");
	v = mapfile_spec(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4, 9, 0, 3);
	map_geometry(&v);
	tap_eq(v.data_off, 0, "per-CPU array: values at offset 0");
	tap_eq(v.cpu_stride, 128, "per-CPU array: CPUs on their own cache lines");
	tap_eq(map_syscall_size(&v), 24, "per-CPU array: a system call's value has every CPU's");
	v = mapfile_spec(BPF_MAP_TYPE_HASH, 4, 8, 1000, 0, 1);
	map_geometry(&v);
	tap_eq(v.nbuckets, 1024, "hash: buckets are a power of two");
	tap_eq(v.elem_size, 32, "hash: two small elements per cache line");
	tap_ok(v.size % NT_PAGE == 0 && v.size >= v.data_off + 1000ull * v.elem_size,
	       "hash: size holds all");
	v = mapfile_spec(BPF_MAP_TYPE_RINGBUF, 0, 0, 8192, 0, 1);
	map_geometry(&v);
	tap_eq(v.data_off, NT_RING_DATA_OFF, "ring: data behind two pages");
	tap_eq(v.ctl_off, NT_RING_DATA_OFF + 16384, "ring: control block behind both copies");
	tap_eq(v.size, v.ctl_off + NT_PAGE, "ring: size");
}

int main(void)
{
	refuse_array();
	refuse_hash();
	refuse_ring();
	layout();
	return tap_done();
}
