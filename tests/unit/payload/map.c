/* SPDX-License-Identifier: MIT */
/* Map helpers: the right value of the right CPU, the kernel's errors. What maps do inside is tested
 * in tests/unit/maps. */
#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"
#include "tap.h"

static void test_hash(const struct subject *s)
{
	struct nt_map_view *v = subject_map(BPF_MAP_TYPE_HASH, 8, 8, 4, 1);
	u64 key = 5, value = 55, *p;

	tap_eq(helper_call(s, 1, v, &key, 0), 0, "hash: miss");
	tap_eq(helper_call(s, 3, v, &key, 0), -ENOENT, "hash: delete of nothing");
	tap_eq(call5(s->helper[2], (u64)v, (u64)&key, (u64)&value, BPF_EXIST, 0), -ENOENT,
	       "hash: must exist");
	tap_eq(call5(s->helper[2], (u64)v, (u64)&key, (u64)&value, BPF_ANY, 0), 0, "hash: insert");
	tap_eq(call5(s->helper[2], (u64)v, (u64)&key, (u64)&value, BPF_NOEXIST, 0), -EEXIST,
	       "hash: must be new");
	p = (u64 *)helper_call(s, 1, v, &key, 0);
	tap_ok(p && *p == 55, "hash: found");
	tap_eq(helper_call(s, 3, v, &key, 0), 0, "hash: delete");
	tap_eq(helper_call(s, 1, v, &key, 0), 0, "hash: gone");
}

/* Those that compiled code calls find what the general one finds, and only that. */
static void test_hash_sizes(const struct subject *s)
{
	static const u32 size[] = {4, 8, 16, 5};
	u64 value[2] = {1, 2};

	for (u32 i = 0; i < 4; i++) {
		struct nt_map_view *v = subject_map(BPF_MAP_TYPE_HASH, size[i], 16, 64, 1);
		u32 id = NT_HELPER_HASH_LOOKUP;
		u32 wrong = 0;

		for (u8 k = 0; k < 32; k++) {
			u8 key[16] = {k, 0, 0, 1, (u8)-k};

			if (k % 2)
				call5(s->helper[2], (u64)v, (u64)key, (u64)value, BPF_ANY, 0);
		}
		for (u8 k = 0; k < 32; k++) {
			u8 key[16] = {k, 0, 0, 1, (u8)-k};
			s64 p = helper_call(s, 1, v, key, 0);

			wrong += !p != !(k % 2) || helper_call(s, id + (i > 2 ? 2 : i), v, key, 0) != p ||
				 helper_call(s, id + 2, v, key, 0) != p;
		}
		tap_eq(wrong, 0, "hash: keys of %u bytes", size[i]);
	}
}

static void test_array(const struct subject *s)
{
	struct nt_map_view *v = subject_map(BPF_MAP_TYPE_ARRAY, 4, 8, 3, 1);
	u32 key = 2;
	u64 value = 99, *p;

	tap_eq(call5(s->helper[2], (u64)v, (u64)&key, (u64)&value, BPF_ANY, 0), 0, "array: update");
	p = (u64 *)helper_call(s, 1, v, &key, 0);
	tap_ok(p && *p == 99, "array: found");
	tap_eq(helper_call(s, 3, v, &key, 0), -EINVAL, "array: no delete");
	key = 3;
	tap_eq(helper_call(s, 1, v, &key, 0), 0, "array: index too large");
	tap_eq(call5(s->helper[2], (u64)v, (u64)&key, (u64)&value, BPF_ANY, 0), -E2BIG,
	       "array: update of it");
}

static void pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void test_per_cpu(const struct subject *s)
{
	int ncpus = (int)sysconf(_SC_NPROCESSORS_CONF);
	struct nt_map_view *v = subject_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 2, (u32)ncpus);
	u8 *base = v->base + v->data_off;
	u32 key = 1;
	cpu_set_t all;
	u64 *p;

	sched_getaffinity(0, sizeof(all), &all);
	for (int cpu = 0; cpu < ncpus; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		pin(cpu);
		p = (u64 *)helper_call(s, 1, v, &key, 0);
		tap_ok(p == (u64 *)(void *)(base + (u64)cpu * v->cpu_stride + v->value_stride),
		       "per-CPU value of %d", cpu);
	}
	/* A CPU beyond what the map was made for: no memory outside is touched. */
	v->ncpus = 1;
	p = (u64 *)helper_call(s, 1, v, &key, 0);
	tap_ok(p == (u64 *)(void *)(base + v->value_stride),
	       "a CPU that the map does not have takes the last");
	sched_setaffinity(0, sizeof(all), &all);
}

static void test_nobody(const struct subject *s)
{
	struct nt_map_view *v = subject_map(BPF_MAP_TYPE_HASH, 8, 8, 4, 1);
	s32 off = s->state->tid_off;
	u64 key = 1, value = 2, *p;

	s->state->tid_off = 0;
	tap_eq(call5(s->helper[2], (u64)v, (u64)&key, (u64)&value, BPF_ANY, 0), 0,
	       "update with a tid from the kernel");
	s->state->flags |= NT_STATE_NO_SYSCALL;
	p = (u64 *)helper_call(s, 1, v, &key, 0);
	tap_ok(p && *p == 2, "look-up without any tid");
	tap_eq(call5(s->helper[2], (u64)v, (u64)&key, (u64)&value, BPF_ANY, 0), -EPERM,
	       "no update without a tid");
	tap_eq(helper_call(s, 3, v, &key, 0), -EPERM, "no delete without a tid");
	s->state->tid_off = off;
	value = 3;
	tap_eq(call5(s->helper[2], (u64)v, (u64)&key, (u64)&value, BPF_ANY, 0), 0,
	       "libc's tid is enough");
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
}

int main(void)
{
	const struct subject *s = subject_new();

	test_hash(s);
	test_hash_sizes(s);
	test_array(s);
	test_per_cpu(s);
	test_nobody(s);
	return tap_done();
}
