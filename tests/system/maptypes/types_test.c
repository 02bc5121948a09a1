/* SPDX-License-Identifier: MIT */
/*
 * Map types as programs use them, and their elements as the loader sees them: the same checks on the kernel and under
 * notrap.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "tap.h"
#include "maps.skel.h"
#include "victim.h"

static struct maps_bpf *s;
static struct victim v;

static __s64 hit(__u64 op, __u64 a, __u64 b)
{
	s->bss->result = -12345;
	victim_do(&v, op, a, b, 1);
	return s->bss->result;
}

static __s64 hit_map(__u64 op, enum which map, __u64 key, __u64 b)
{
	return hit(op, key << 8 | map, b);
}

static void test_keyed(void)
{
	__u64 key, value = 0, n = 0;
	int fd = bpf_map__fd(s->maps.lru);

	tap_eq(hit_map(OP_LOOKUP, IN_LRU, 1, 0), -1, "LRU: nothing");
	tap_eq(hit_map(OP_UPDATE, IN_LRU, 1, 11), 0, "LRU: update");
	tap_eq(hit_map(OP_LOOKUP, IN_LRU, 1, 0), 11, "LRU: lookup");
	tap_eq(bpf_map__lookup_elem(s->maps.lru, &(__u64){1}, 8, &value, 8, 0), 0, "LRU: the loader's lookup");
	tap_eq(value, 11, "LRU: its value");
	for (key = 100; key < 200; key++)
		n += hit_map(OP_UPDATE, IN_LRU, key, key) == 0;
	tap_eq(n, 100, "LRU: never full");
	tap_eq(hit_map(OP_LOOKUP, IN_LRU, 199, 0), 199, "LRU: the last one is there");
	tap_eq(hit_map(OP_DELETE, IN_LRU, 199, 0), 0, "LRU: delete");
	for (n = 0, key = -1ull; !bpf_map_get_next_key(fd, n ? &key : NULL, &key); n++)
		;
	tap_ok(n > 4 && n <= 16, "LRU: some of 16 are left (%llu)", n);
	tap_eq(hit_map(OP_UPDATE, IN_LPM, 8, 8), 0, "LPM: /8");
	tap_eq(hit_map(OP_UPDATE, IN_LPM, 24 | 7 << 8, 24), 0, "LPM: /24");
	tap_eq(hit_map(OP_LOOKUP, IN_LPM, 32 | 7 << 8 | 9 << 16, 0), 24, "LPM: in the /24");
	tap_eq(hit_map(OP_LOOKUP, IN_LPM, 32 | 6 << 8 | 9 << 16, 0), 8, "LPM: in the /8");
	tap_eq(hit_map(OP_UPDATE, IN_LPM, 33, 0), -EINVAL, "LPM: /33");
	tap_eq(hit_map(OP_DELETE, IN_LPM, 24 | 7 << 8, 0), 0, "LPM: delete");
	tap_eq(hit_map(OP_LOOKUP, IN_LPM, 32 | 7 << 8, 0), 8, "LPM: only the /8 is left");
}

static void test_unkeyed(enum which map, const char *name, __u64 first)
{
	tap_eq(hit_map(OP_POP, map, 0, 0), -ENOENT, "%s: pop of nothing", name);
	for (__u64 i = 1; i <= 4; i++)
		tap_eq(hit_map(OP_PUSH, map, i, 0), 0, "%s: push", name);
	tap_eq(hit_map(OP_PUSH, map, 5, 0), -E2BIG, "%s: full", name);
	tap_eq(hit_map(OP_PUSH, map, 5, BPF_NOEXIST), -EINVAL, "%s: BPF_NOEXIST", name);
	tap_eq(hit_map(OP_PUSH, map, 5, BPF_EXIST), 0, "%s: over the oldest", name);
	tap_eq(hit_map(OP_PEEK, map, 0, 0), 100 + first, "%s: peek", name);
	tap_eq(hit_map(OP_POP, map, 0, 0), 100 + first, "%s: pop", name);
}

static void test_bloom(void)
{
	tap_eq(hit_map(OP_PEEK, IN_BLOOM, 7, 0), -ENOENT, "bloom filter: not there");
	tap_eq(hit_map(OP_PUSH, IN_BLOOM, 7, 0), 0, "bloom filter: push");
	tap_eq(hit_map(OP_PUSH, IN_BLOOM, 7, BPF_EXIST), -EINVAL, "bloom filter: BPF_EXIST");
	tap_eq(hit_map(OP_PEEK, IN_BLOOM, 7, 0), 0, "bloom filter: there");
}

static int new_inner(__u32 type, __u32 key, __u32 value, __u32 max)
{
	return bpf_map_create(type, NULL, key, value, max, NULL);
}

static void test_inner(void)
{
	int outer = bpf_map__fd(s->maps.outer), outer_hash = bpf_map__fd(s->maps.outer_hash);
	int fd = new_inner(BPF_MAP_TYPE_ARRAY, 4, 8, 8), h = new_inner(BPF_MAP_TYPE_HASH, 4, 8, 8);
	__u32 key = 1, id = 0;
	__u64 hkey = 77, value = 0;

	tap_eq(hit(OP_INNER_ARRAY, 3, 0), 0, "array of maps: the map that was there at load");
	bpf_map__lookup_elem(s->maps.inner0, &(__u32){3}, 4, &value, 8, 0);
	tap_eq(value, 1003, "array of maps: has the value");
	tap_eq(hit(OP_INNER_ARRAY, 3, 1), -1, "array of maps: an empty element");
	tap_eq(hit(OP_INNER_ARRAY, 3, 9), -1, "array of maps: behind the end");
	tap_eq(bpf_map_update_elem(outer, &key, &h, 0), -EINVAL, "array of maps: another shape");
	tap_eq(bpf_map_update_elem(outer, &key, &fd, BPF_NOEXIST), -EINVAL, "array of maps: flags");
	tap_eq(bpf_map_update_elem(outer, &key, &fd, 0), 0, "array of maps: a new map while the program runs");
	tap_eq(hit(OP_INNER_ARRAY, 4, 1), 0, "array of maps: is used");
	bpf_map_lookup_elem(fd, &(__u32){4}, &value);
	tap_eq(value, 1004, "array of maps: has the value");
	tap_ok(!bpf_map_lookup_elem(outer, &key, &id) && id, "array of maps: lookup shows an id");
	close(fd);
	tap_eq(hit(OP_INNER_ARRAY, 5, 1), 0, "array of maps: the outer map keeps it");
	tap_eq(bpf_map_delete_elem(outer, &key), 0, "array of maps: delete");
	tap_eq(hit(OP_INNER_ARRAY, 5, 1), -1, "array of maps: gone");
	tap_eq(bpf_map_delete_elem(outer, &key), -ENOENT, "array of maps: delete again");

	tap_eq(hit(OP_INNER_HASH, 1, hkey), -1, "hash of maps: empty");
	tap_eq(bpf_map_update_elem(outer_hash, &hkey, &h, BPF_EXIST), -ENOENT, "hash of maps: BPF_EXIST");
	tap_eq(bpf_map_update_elem(outer_hash, &hkey, &h, BPF_NOEXIST), 0, "hash of maps: insert");
	tap_eq(bpf_map_update_elem(outer_hash, &hkey, &h, BPF_NOEXIST), -EEXIST, "hash of maps: insert again");
	tap_eq(hit(OP_INNER_HASH, 1, hkey), 0, "hash of maps: used");
	tap_eq(hit(OP_INNER_HASH, 1, hkey), 1, "hash of maps: and again");
	bpf_map_lookup_elem(h, &(__u32){1}, &value);
	tap_eq(value, 2002, "hash of maps: has the value");
	tap_ok(!bpf_map_lookup_elem(outer_hash, &hkey, &id) && id, "hash of maps: lookup shows an id");
	tap_eq(bpf_map_delete_elem(outer_hash, &hkey), 0, "hash of maps: delete");
	tap_eq(hit(OP_INNER_HASH, 1, hkey), -1, "hash of maps: gone");
	tap_eq(bpf_map_delete_elem(outer_hash, &hkey), -ENOENT, "hash of maps: delete again");
	close(h);
}

static void test_stackid(void)
{
	__s64 id = hit(OP_STACKID, 0, BPF_F_USER_STACK);
	__u64 ips[127] = {0};
	__u32 key = (__u32)id;

	tap_ok(id >= 0 && id < 64, "stack trace: an id");
	tap_eq(hit(OP_STACKID, 0, BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP), id, "stack trace: the same for the same stack");
	tap_eq(bpf_map_lookup_elem(bpf_map__fd(s->maps.stacks), &key, ips), 0, "stack trace: lookup");
	tap_eq(ips[0], (__u64)(uintptr_t)mt_hit, "stack trace: begins in the function");
	tap_eq(hit(OP_STACKID, 0, 1 << 30), -EINVAL, "stack trace: flags");
	tap_eq(bpf_map_delete_elem(bpf_map__fd(s->maps.stacks), &key), 0, "stack trace: delete");
	tap_eq(bpf_map_lookup_elem(bpf_map__fd(s->maps.stacks), &key, ips), -ENOENT, "stack trace: gone");
}

static int on_record(void *arg, void *data, size_t size)
{
	*(__u64 *)arg += *(__u64 *)data;
	return 0;
}

static void test_rings(void)
{
	int extra = new_inner(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
	__u64 sum0 = 0, sum1 = 0;
	struct ring_buffer *rb = ring_buffer__new(bpf_map__fd(s->maps.ring0), on_record, &sum0, NULL);
	__u32 key = 1;

	ring_buffer__add(rb, extra, on_record, &sum1);
	tap_eq(bpf_map_update_elem(bpf_map__fd(s->maps.rings), &key, &extra, 0), 0, "array of rings: a second ring");
	tap_eq(hit(OP_INNER_RING, 5, 0), 0, "array of rings: a record for the first");
	tap_eq(hit(OP_INNER_RING, 70, 1), 0, "array of rings: one for the second");
	tap_ok(ring_buffer__poll(rb, 2000) > 0, "array of rings: the reader is woken");
	ring_buffer__poll(rb, 200);
	tap_ok(sum0 == 5 && sum1 == 70, "array of rings: each has its own");
	ring_buffer__free(rb);
	close(extra);
}

int main(void)
{
	const char *syms[] = {"mt_hit"};
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .syms = syms, .cnt = 1);
	struct bpf_link *l;

	v = victim_fork();
	s = maps_bpf__open_and_load();
	if (!tap_ok(s != NULL, "load"))
		return tap_done();
	l = bpf_program__attach_uprobe_multi(s->progs.on_hit, v.pid, "/proc/self/exe", NULL, &opts);
	if (!tap_ok(l != NULL, "attach"))
		return tap_done();
	test_keyed();
	test_unkeyed(IN_QUEUE, "queue", 2);
	test_unkeyed(IN_STACK, "stack", 5);
	test_bloom();
	test_inner();
	test_rings();
	test_stackid();
	bpf_link__destroy(l);
	victim_stop(&v);
	maps_bpf__destroy(s);
	return tap_done();
}
