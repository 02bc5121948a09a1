/* SPDX-License-Identifier: MIT */
/*
 * Rows engine/loader/...: operations on map elements by the loader itself, per element. Some of them wait for the
 * broker, so it is the wall clock that counts; of several windows the shortest, for others use the machine, too.
 */
#include "engine.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>

#include "engine.skel.h"

#define WINDOWS 7
#define KEYS 512
#define OPS (4 * KEYS)
#define BATCH 256

struct side {
	int hash, array, percpu;
	__u64 key, value;
	__u64 keys[BATCH], values[BATCH];
	__u64 wide[1024]; /* a value of every CPU */
};

static int hash_lookup(struct side *s, int i)
{
	s->key = (__u64)i % KEYS;
	return bpf_map_lookup_elem(s->hash, &s->key, &s->value);
}

static int hash_update(struct side *s, int i)
{
	s->key = (__u64)i % KEYS;
	return bpf_map_update_elem(s->hash, &s->key, &s->value, BPF_ANY);
}

static int hash_insert_delete(struct side *s, int i)
{
	s->key = (__u64)i + (1u << 20);
	return bpf_map_update_elem(s->hash, &s->key, &s->value, BPF_NOEXIST) || bpf_map_delete_elem(s->hash, &s->key);
}

static int hash_next_key(struct side *s, int i)
{
	int err = bpf_map_get_next_key(s->hash, i ? &s->key : NULL, &s->key);

	return err ? bpf_map_get_next_key(s->hash, NULL, &s->key) : 0;
}

static int array_lookup(struct side *s, int i)
{
	__u32 index = (__u32)i % KEYS;

	return bpf_map_lookup_elem(s->array, &index, &s->value);
}

static int array_update(struct side *s, int i)
{
	__u32 index = (__u32)i % KEYS;

	return bpf_map_update_elem(s->array, &index, &s->value, BPF_ANY);
}

static int percpu_array_lookup(struct side *s, int i)
{
	__u32 index = (__u32)i % KEYS;

	return bpf_map_lookup_elem(s->percpu, &index, s->wide);
}

static int lookup_batch(struct side *s, int i)
{
	__u32 token, count = BATCH;
	int err = bpf_map_lookup_batch(s->hash, NULL, &token, s->keys, s->values, &count, NULL);

	return err || count < BATCH / 2;
}

static int update_batch(struct side *s, int i)
{
	__u32 count = BATCH;

	for (__u64 k = 0; k < BATCH; k++)
		s->keys[k] = k;
	return bpf_map_update_batch(s->hash, s->keys, s->values, &count, NULL);
}

static const struct {
	const char *row;
	int (*op)(struct side *s, int i);
	int elements; /* of one call */
} ops[] = {
	{"engine/loader/hash_lookup", hash_lookup, 1},
	{"engine/loader/hash_update", hash_update, 1},
	{"engine/loader/hash_insert_delete", hash_insert_delete, 1},
	{"engine/loader/hash_next_key", hash_next_key, 1},
	{"engine/loader/array_lookup", array_lookup, 1},
	{"engine/loader/array_update", array_update, 1},
	{"engine/loader/percpu_array_lookup", percpu_array_lookup, 1},
	{"engine/loader/hash_lookup_batch", lookup_batch, BATCH},
	{"engine/loader/hash_update_batch", update_batch, BATCH},
};

/* Nanoseconds per element, negative: an operation failed. */
static double time_op(struct side *s, int (*op)(struct side *s, int i), int elements)
{
	double best = 1e18;

	for (int w = 0; w < WINDOWS; w++) {
		double begin = engine_now(), ns;

		for (int i = 0; i < OPS / elements; i++)
			if (op(s, i))
				return -1;
		ns = (engine_now() - begin) / OPS;
		best = ns < best ? ns : best;
	}
	return best;
}

void engine_elements(struct engine_bpf *s, const char *prefix)
{
	struct side side = {.hash = bpf_map__fd(s->maps.mine), .array = bpf_map__fd(s->maps.array),
			    .percpu = bpf_map__fd(s->maps.percpu), .value = 1};
	double ns;

	for (int i = 0; i < KEYS; i++)
		hash_update(&side, i);
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		if (!engine_wants(prefix, ops[i].row))
			continue;
		ns = time_op(&side, ops[i].op, ops[i].elements);
		if (ns >= 0)
			printf("%s %.2f ns\n", ops[i].row, ns);
		else
			fprintf(stderr, "%s failed\n", ops[i].row);
	}
}
