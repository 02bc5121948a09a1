/* SPDX-License-Identifier: MIT */
/*
 * The kernel as oracle: the same random operations on a kernel map, through bpf(2), and on ours.
 * Every result, errno and value must be the same; of a hash also the set of keys. Argument: [seed].
 */
#include <errno.h>
#include <time.h>

#include "base/bits.h"
#include "mapfile.h"
#include "tap.h"

#define STEPS 6000u
#define NKEYS 12u
#define VALUE_MAX 4096u

struct pair {
	struct nt_map_view v;
	int fd;
	u64 rnd;
	u32 bad;
	u32 nr[5][2]; /* operations by kind, failed and successful: the test must see both */
};

static long bpf_call(int cmd, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return r < 0 ? -errno : r;
}

static long kernel_create(const struct nt_map_view *v)
{
	union bpf_attr attr = {0};

	attr.map_type = v->type;
	attr.key_size = v->key_size;
	attr.value_size = v->value_size;
	attr.max_entries = v->max_entries;
	attr.map_flags = v->flags;
	attr.map_extra = v->extra;
	return bpf_call(BPF_MAP_CREATE, &attr);
}

static bool no_key; /* of the map under test */

static long kernel_op(int fd, int cmd, const void *key, void *value, u64 flags)
{
	union bpf_attr attr = {0};

	attr.map_fd = (u32)fd;
	attr.key = (u64)key;
	if (no_key)
		attr.key = 0;
	attr.value = (u64)value;
	attr.flags = flags;
	return bpf_call(cmd, &attr);
}

static u32 possible_cpus(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/possible", "r");
	u32 a = 0, b = 0;

	if (f && fscanf(f, "%u-%u", &a, &b) < 2)
		b = a;
	if (f)
		fclose(f);
	return b + 1;
}

static void make_key(const struct pair *p, u8 *key, u32 n)
{
	bool array = p->v.type == BPF_MAP_TYPE_ARRAY || p->v.type == BPF_MAP_TYPE_PERCPU_ARRAY;
	u32 bits = 8 * (p->v.key_size - 4), len;

	if (p->v.type == BPF_MAP_TYPE_LPM_TRIE) { /* nested prefixes, the longest one too long */
		memset(key, 0xa5, 64);
		len = n == NKEYS - 1 ? bits + 1 : n % 6 * (bits / 5) + n / 6 * 3;
		memcpy(key, &len, 4);
		if (n % 4 == 3)
			key[5] ^= 0x11;
		return;
	}
	if (array && n == NKEYS - 1)
		n = 0xfffffffeu;
	memset(key, 0, 64);
	memcpy(key, &n, p->v.key_size < 4 ? p->v.key_size : 4);
	if (!array && p->v.key_size > 4)
		memset(key + 4, 0x33, p->v.key_size - 4);
}

static void expect(struct pair *p, const char *op, long ours, long kernel, u32 n, u64 flags)
{
	if (ours == kernel)
		return;
	if (p->bad++ < 5)
		printf("# %s key %u flags %llu: ours %ld, the kernel's %ld\n", op, n,
		       (unsigned long long)flags, ours, kernel);
}

/* Both maps hold the same keys and values. */
static void compare_all(struct pair *p)
{
	u8 key[64], next[64], a[VALUE_MAX], b[VALUE_MAX];
	struct nt_caller c = mapfile_caller(0);
	u32 size = map_syscall_size(&p->v), ours = 0, theirs = 0;
	long r;

	if (no_key)
		return;
	for (r = map_next_key(&p->v, NULL, next); !r && ours < 1000;
	     r = map_next_key(&p->v, key, next), ours++) {
		memcpy(key, next, 64);
		expect(p, "lookup", map_sys_lookup(&p->v, &c, key, a),
		       kernel_op(p->fd, BPF_MAP_LOOKUP_ELEM, key, b, 0), ours, 0);
		if (memcmp(a, b, size))
			expect(p, "value", 0, 1, ours, 0);
	}
	expect(p, "end of iteration", r, -ENOENT, 0, 0);
	for (r = kernel_op(p->fd, BPF_MAP_GET_NEXT_KEY, NULL, next, 0); !r && theirs < 1000;
	     r = kernel_op(p->fd, BPF_MAP_GET_NEXT_KEY, key, next, 0), theirs++)
		memcpy(key, next, 64);
	expect(p, "number of keys", ours, theirs, 0, 0);
}

static void step(struct pair *p)
{
	static const u64 flags[] = {BPF_ANY, BPF_ANY,	 BPF_ANY, BPF_NOEXIST, BPF_EXIST,
				    3,	     BPF_F_LOCK, 5,	  1ull << 33};
	u64 r = mapfile_rand(&p->rnd), flag = flags[(r >> 8) % 9];
	u32 n = (u32)(r >> 32) % NKEYS, size = map_syscall_size(&p->v), kind = r % 8;
	struct nt_caller c = mapfile_caller(0);
	u8 key[64], a[VALUE_MAX], b[VALUE_MAX];
	long ours, theirs;
	bool value = false;

	make_key(p, key, n);
	for (u32 i = 0; i < size; i++)
		a[i] = (u8)(mapfile_rand(&p->rnd) & (p->v.type != BPF_MAP_TYPE_BLOOM_FILTER ? 0xff : i ? 0 : 0x7f));
	memcpy(b, a, size);
	switch (kind) {
	case 0:
		ours = map_sys_delete(&p->v, &c, key);
		theirs = kernel_op(p->fd, BPF_MAP_DELETE_ELEM, key, NULL, 0);
		break;
	case 1:
		ours = map_sys_lookup_and_delete(&p->v, &c, key, a);
		theirs = kernel_op(p->fd, BPF_MAP_LOOKUP_AND_DELETE_ELEM, key, b, 0);
		value = true;
		break;
	case 2:
	case 3:
		kind = 2;
		ours = map_sys_lookup(&p->v, &c, key, a);
		theirs = kernel_op(p->fd, BPF_MAP_LOOKUP_ELEM, key, b, 0);
		value = p->v.type != BPF_MAP_TYPE_BLOOM_FILTER;
		break;
	default:
		kind = 3;
		ours = map_sys_update(&p->v, &c, key, a, flag);
		theirs = kernel_op(p->fd, BPF_MAP_UPDATE_ELEM, key, a, flag);
	}
	expect(p, value ? "lookup" : "delete/update", ours, theirs, n, flag);
	if (value && (!ours || !no_key) && memcmp(a, b, size))
		expect(p, "value", 0, 1, n, flag);
	p->nr[kind][ours == 0]++;
	ours = map_next_key(&p->v, key, a);
	theirs = kernel_op(p->fd, BPF_MAP_GET_NEXT_KEY, key, b, 0);
	if (no_key) {
		expect(p, "next key", ours, theirs, n, 0);
		return;
	}
	if (p->v.type == BPF_MAP_TYPE_ARRAY || p->v.type == BPF_MAP_TYPE_PERCPU_ARRAY) {
		expect(p, "next key", ours, theirs, n, 0);
		if (!ours && memcmp(a, b, 4))
			expect(p, "next key's value", 0, 1, n, 0);
	} else if (map_sys_lookup(&p->v, &c, key, b) == -ENOENT) {
		expect(p, "next of an unknown key", ours, theirs, n, 0);
	}
}

struct kind {
	const char *name;
	u32 type, max, flags, extra;
};

static void run(u64 seed, const struct kind *k, u32 key_size, u32 value_size, u32 ncpus)
{
	struct pair p = {.rnd = seed};
	const char *name = k->name;

	no_key = !key_size;
	p.v = mapfile_new(k->type, key_size, value_size, k->max, k->flags, ncpus);
	p.v.extra = k->extra;
	p.fd = (int)kernel_create(&p.v);
	if (!tap_ok(p.fd >= 0, "%s: kernel map of %u/%u", name, key_size, value_size))
		return;
	for (u32 i = 0; i < STEPS; i++) {
		step(&p);
		if (i % 256 == 0)
			compare_all(&p);
	}
	compare_all(&p);
	tap_eq(p.bad, 0, "%s: %u steps with keys of %u and values of %u", name, STEPS, key_size,
	       value_size);
	tap_ok(p.nr[2][0] && p.nr[2][1] && p.nr[3][0] && p.nr[3][1],
	       "%s: misses and hits of both kinds", name);
	close(p.fd);
	mapfile_free(&p.v);
}

static void ring_elements(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 1);
	static const int cmds[] = {BPF_MAP_DELETE_ELEM, BPF_MAP_LOOKUP_AND_DELETE_ELEM,
				   BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM};
	struct nt_caller c = mapfile_caller(0);
	int fd = (int)kernel_create(&v);
	u8 b[64] = {0};
	long ours[4];

	ours[0] = map_sys_delete(&v, &c, b);
	ours[1] = map_sys_lookup_and_delete(&v, &c, b, b);
	ours[2] = map_sys_lookup(&v, &c, b, b);
	ours[3] = map_sys_update(&v, &c, b, b, 0);
	for (u32 i = 0; i < 4; i++)
		tap_eq(ours[i], kernel_op(fd, cmds[i], NULL, i ? b : NULL, 0),
		       "ring buffer: element operation %u", i);
	tap_eq(map_next_key(&v, NULL, b), kernel_op(fd, BPF_MAP_GET_NEXT_KEY, NULL, b, 0),
	       "ring buffer: next key");
	close(fd);
	mapfile_free(&v);
}

/* What BPF_MAP_CREATE says to odd sizes and flags. */
static void create(u64 rnd, u32 ncpus)
{
	static const u32 types[] = {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY,
				    BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH,
				    BPF_MAP_TYPE_RINGBUF,
				    BPF_MAP_TYPE_LRU_HASH,
				    BPF_MAP_TYPE_LRU_PERCPU_HASH,
				    BPF_MAP_TYPE_LPM_TRIE,
				    BPF_MAP_TYPE_QUEUE,
				    BPF_MAP_TYPE_STACK,
				    BPF_MAP_TYPE_BLOOM_FILTER,
				    BPF_MAP_TYPE_STACK_TRACE,
				    BPF_MAP_TYPE_PERF_EVENT_ARRAY,
				    BPF_MAP_TYPE_PROG_ARRAY,
				    BPF_MAP_TYPE_CGROUP_ARRAY};
	static const u32 keys[] = {4, 4, 4, 8, 0, 1, 260, 261, 100000};
	static const u32 values[] = {8,
				     4,
				     1,
				     0,
				     0,
				     32768,
				     1016,
				     1024,
				     32761,
				     32769,
				     (4u << 20) - 53,
				     (4u << 20) - 52,
				     (4u << 20) - 51,
				     0x80000000u};
	static const u32 entries[] = {1, 2, 3, 4096, 12288, 8192, 0, (1u << 27) + 1, 0xffffffffu};
	u32 bad = 0, made = 0, refused = 0;

	for (u32 i = 0; i < 12000; i++) {
		u64 r = mapfile_rand(&rnd);
		struct nt_map_view v =
		    mapfile_spec(types[r % bits_count(types)], keys[(r >> 8) % 9],
				 values[(r >> 16) % bits_count(values)],
				 entries[(r >> 24) % 9], 0, ncpus);
		long ours, theirs;

		if (v.type == BPF_MAP_TYPE_BLOOM_FILTER)
			v.extra = (r >> 56) % 20;
		if (v.type == BPF_MAP_TYPE_LPM_TRIE && r >> 63)
			v.flags = BPF_F_NO_PREALLOC;
		else if ((r >> 40) % 2)
			v.flags = 1u << (r >> 44) % 13;
		if ((r >> 40) % 8 == 7)
			v.flags |= 1u << (r >> 50) % 13;
		if (v.type == BPF_MAP_TYPE_STACK_TRACE)
			v.flags &= ~(u32)BPF_F_STACK_BUILD_ID; /* docs/differences.md */
		if ((v.flags & BPF_F_RDONLY) && (v.flags & BPF_F_WRONLY))
			continue; /* the file's mode: checked before any type is asked */
		if ((u64)v.value_size * v.max_entries > (16u << 20))
			v.max_entries = 1;
		theirs = kernel_create(&v);
		ours = map_geometry(&v);
		if (theirs >= 0)
			close((int)theirs);
		if (theirs == -ENOMEM)
			continue; /* the machine's limit, not the interface's */
		theirs = theirs > 0 ? 0 : theirs;
		made += !theirs;
		refused += theirs != 0;
		if (ours != theirs && bad++ < 5)
			printf("# type %u key %u value %u entries %u flags %#x: ours %ld, the "
			       "kernel's %ld\n",
			       v.type, v.key_size, v.value_size, v.max_entries, v.flags, ours,
			       theirs);
	}
	tap_eq(bad, 0, "creation: the same verdict (%u made, %u refused)", made, refused);
	tap_ok(made > 100 && refused > 100, "creation: both happened");
}

int main(int argc, char **argv)
{
	static const u32 sizes[][2] = {{4, 8}, {8, 4}, {1, 1}, {16, 40}, {5, 13}};
	u64 seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (u64)time(NULL);
	struct nt_map_view probe = mapfile_spec(BPF_MAP_TYPE_HASH, 4, 4, 1, 0, 1);
	u32 ncpus = possible_cpus();
	long fd = kernel_create(&probe);

	if (fd < 0)
		tap_skip_all("no permission to create kernel maps, or no BPF in this kernel");
	close((int)fd);
	if (40 * (u64)ncpus > VALUE_MAX)
		tap_skip_all("too many CPUs for this test's buffers");
	printf("# seed %llu, %u CPUs\n", (unsigned long long)seed, ncpus);
	for (u32 i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		u32 key = sizes[i][0], value = sizes[i][1];

		run(seed + i, &(struct kind){"array", BPF_MAP_TYPE_ARRAY, 8}, 4, value, 1);
		run(seed + i, &(struct kind){"per-CPU array", BPF_MAP_TYPE_PERCPU_ARRAY, 8}, 4, value, ncpus);
		run(seed + i, &(struct kind){"hash", BPF_MAP_TYPE_HASH, 8}, key, value, 1);
		run(seed + i, &(struct kind){"per-CPU hash", BPF_MAP_TYPE_PERCPU_HASH, 8}, key, value, ncpus);
		/* So large that nothing is thrown out: what goes is everybody's own choice. */
		run(seed + i, &(struct kind){"LRU hash", BPF_MAP_TYPE_LRU_HASH, 10000}, key, value, 1);
		run(seed + i, &(struct kind){"per-CPU LRU hash", BPF_MAP_TYPE_LRU_PERCPU_HASH, 10000}, key, value,
		    ncpus);
		run(seed + i, &(struct kind){"LPM trie", BPF_MAP_TYPE_LPM_TRIE, 8, BPF_F_NO_PREALLOC}, 4 + 4 * (i + 1),
		    value, 1);
		run(seed + i, &(struct kind){"queue", BPF_MAP_TYPE_QUEUE, 5}, 0, value, 1);
		run(seed + i, &(struct kind){"stack", BPF_MAP_TYPE_STACK, 5}, 0, value, 1);
		run(seed + i, &(struct kind){"bloom filter", BPF_MAP_TYPE_BLOOM_FILTER, 1u << 20}, 0, value, 1);
	}
	ring_elements();
	create(seed, ncpus);
	return tap_done();
}
