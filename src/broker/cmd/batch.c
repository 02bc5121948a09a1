/* SPDX-License-Identifier: MIT */
/*
 * Batches of map elements. Arrays carry the last key in in_batch/out_batch, as the kernel's generic code does; hashes
 * the number of a bucket, 4 bytes, and give whole buckets. Elements that come or go in between may be missed, as with the
 * kernel's.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "broker/cmd/cmd.h"
#include "broker/cmd/elem.h"
#include "broker/cmd/slots.h"
#include "broker/object/slots.h"
#include "broker/object/twin.h"
#include "maps/maps.h"
#include "util/fd.h"

struct batch {
	struct object_map *map;
	u32 key_size, value_size, bucket;
	u8 *key, *next, *value; /* one element each */
	bool by_token;		/* a hash */
	/* Elements on their way to or from the client, so that it is not asked for each: [room], these are [at, at + n)
	 * of the batch. */
	u8 *keys, *values;
	u32 room, at, n;
};

#define BATCH_BYTES (256u << 10) /* about so many at a time */

static void batch_deinit(struct batch *t)
{
	free(t->key);
	free(t->next);
	free(t->value);
	free(t->keys);
	free(t->values);
}

static bool batch_is_hash(const struct object_map *m)
{
	switch (m->view.type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return true;
	}
	return false;
}

enum batch_kind { BATCH_LOOKUP, BATCH_LOOKUP_DELETE, BATCH_UPDATE, BATCH_DELETE };

/* The map_*_batch entries of the kernel's struct bpf_map_ops. */
static bool batch_fits(const struct object_map *m, enum batch_kind kind)
{
	switch (m->view.type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_PERCPU_ARRAY: return kind == BATCH_LOOKUP || kind == BATCH_UPDATE;
	case BPF_MAP_TYPE_LPM_TRIE: return kind != BATCH_LOOKUP_DELETE;
	default: return batch_is_hash(m);
	}
}

static int batch_init(struct call *k, u32 may, enum batch_kind kind, struct batch *t)
{
	const struct attr_batch *a = &k->attr.batch;
	int r;

	r = elem_map(k, a->map_fd, may, &t->map);
	if (r < 0)
		return r;
	t->by_token = batch_is_hash(t->map);
	if (!batch_fits(t->map, kind))
		return -NT_ENOTSUPP;
	if (a->elem_flags || a->flags)
		return -EINVAL;
	t->key_size = t->map->view.key_size;
	t->value_size = map_syscall_size(&t->map->view);
	t->key = calloc(1, bits_max(t->key_size, 8u));
	t->next = calloc(1, bits_max(t->key_size, 8u));
	t->value = calloc(1, bits_max(t->value_size, 8u));
	t->room = bits_max(bits_min(BATCH_BYTES / bits_max(t->key_size + t->value_size, 1u), a->count), 1u);
	t->keys = calloc(t->room, bits_max(t->key_size, 1u));
	t->values = calloc(t->room, bits_max(t->value_size, 1u));
	return t->key && t->next && t->value && t->keys && t->values ? 0 : -ENOMEM;
}

static int batch_put_count(struct call *k, u32 count)
{
	return client_write(k->c, k->uattr + offsetof(struct attr_batch, count), &count,
			    sizeof(count));
}

/* Where to begin: t->key is the last element that was given out. 1: at the first; 0; -EFAULT. */
static int batch_seek(struct call *k, struct batch *t)
{
	u64 in = k->attr.batch.in_batch;

	if (!in)
		return 1;
	return t->by_token ? client_read(k->c, in, &t->bucket, sizeof(t->bucket)) : client_read(k->c, in, t->key, t->key_size);
}

static int batch_flush(struct call *k, struct batch *t)
{
	const struct attr_batch *a = &k->attr.batch;
	int r = client_write(k->c, a->keys + (u64)t->at * t->key_size, t->keys, (size_t)t->n * t->key_size);

	if (!r)
		r = client_write(k->c, a->values + (u64)t->at * t->value_size, t->values,
				 (size_t)t->n * t->value_size);
	t->at += t->n;
	t->n = 0;
	return r;
}

/* The element in t->key, t->value is the batch's next. */
static int batch_emit(struct call *k, struct batch *t)
{
	memcpy(t->keys + (size_t)t->n * t->key_size, t->key, t->key_size);
	memcpy(t->values + (size_t)t->n * t->value_size, t->value, t->value_size);
	return ++t->n == t->room ? batch_flush(k, t) : 0;
}

/* Element i of the client's into t->key and, if wanted, t->value; in the batch's order. */
static int batch_fetch(struct call *k, struct batch *t, u32 i, bool values)
{
	const struct attr_batch *a = &k->attr.batch;
	int r = 0;

	if (i >= t->at + t->n) {
		t->at = i;
		t->n = bits_min(t->room, a->count - i);
		r = client_read(k->c, a->keys + (u64)i * t->key_size, t->keys, (size_t)t->n * t->key_size);
		if (!r && values)
			r = client_read(k->c, a->values + (u64)i * t->value_size, t->values,
					(size_t)t->n * t->value_size);
	}
	if (r < 0 && t->n > 1) {
		/* somewhere in there memory ends: up to there it counts */
		t->room = 1;
		t->n = 0;
		return batch_fetch(k, t, i, values);
	}
	if (r < 0)
		return r;
	memcpy(t->key, t->keys + (size_t)(i - t->at) * t->key_size, t->key_size);
	memcpy(t->value, t->values + (size_t)(i - t->at) * t->value_size, t->value_size);
	return 0;
}

/* One element; of a map of maps its id, and what is stored is a descriptor. */
static int batch_get(struct call *k, struct batch *t, bool and_delete)
{
	const struct nt_map_view *v = &t->map->view;
	int r;

	if (map_has_slots(v->type)) {
		r = slots_get_id(t->map, t->key, (u32 *)(void *)t->value);
		return r || !and_delete ? r : slots_delete(k, t->map, t->key);
	}
	return and_delete ? map_sys_lookup_and_delete(v, &k->b->caller, t->key, t->value)
			  : map_sys_lookup(v, &k->b->caller, t->key, t->value);
}

static int batch_put(struct call *k, struct batch *t)
{
	int r;

	if (map_has_slots(t->map->view.type))
		return slots_update(k, t->map, t->key, (const u32 *)(const void *)t->value, BPF_ANY);
	r = map_sys_update(&t->map->view, &k->b->caller, t->key, t->value, BPF_ANY);
	return r < 0 ? r : twin_map_mirror(t->map, t->key, t->value, BPF_ANY);
}

static int batch_drop(struct call *k, struct batch *t)
{
	int r;

	if (map_has_slots(t->map->view.type))
		return slots_delete(k, t->map, t->key);
	r = map_sys_delete(&t->map->view, &k->b->caller, t->key);
	return r < 0 ? r : twin_map_mirror(t->map, t->key, NULL, 0);
}

/* Elements of an array after t->key (first: from the beginning). Returns 0 or why it ended early; *ret_n elements were
 * copied. */
static int batch_walk(struct call *k, struct batch *t, bool first, u32 *ret_n)
{
	const struct nt_map_view *v = &t->map->view;
	u32 n = 0;
	int r = 0;

	while (n < k->attr.batch.count) {
		r = map_next_key(v, first ? NULL : t->key, t->next);
		if (r < 0)
			break;
		memcpy(t->key, t->next, t->key_size);
		first = false;
		r = batch_get(k, t, false);
		if (r == -ENOENT)
			continue;
		if (!r)
			r = batch_emit(k, t);
		if (r < 0)
			break;
		n++;
	}
	*ret_n = n;
	return batch_flush(k, t) < 0 ? -EFAULT : r;
}

/* The n elements in t->keys are taken one by one, or are ids that stand for something; those that are gone are left out. */
static int batch_each(struct call *k, struct batch *t, u32 n, bool and_delete)
{
	int r = 0;

	t->n = 0;
	for (u32 i = 0; i < n && !r; i++) {
		memcpy(t->key, t->keys + (size_t)i * t->key_size, t->key_size);
		r = batch_get(k, t, and_delete);
		if (!r) {
			memmove(t->keys + (size_t)t->n * t->key_size, t->key, t->key_size);
			memcpy(t->values + (size_t)t->n++ * t->value_size, t->value, t->value_size);
		}
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

/* Elements of a hash, from bucket t->bucket on; the rest as above. */
static int batch_scan(struct call *k, struct batch *t, bool and_delete, u32 *ret_n)
{
	const struct nt_map_view *v = &t->map->view;
	bool each = and_delete || map_has_slots(v->type);
	u32 n = 0, want, got;
	int r = 0, w = 0;

	if (t->bucket >= v->nbuckets)
		r = -ENOENT;
	while (!r && !w && n < k->attr.batch.count) {
		want = got = bits_min(t->room, k->attr.batch.count - n);
		r = map_hash_batch(v, &t->bucket, t->keys, t->values, &got);
		t->n = got;
		if (each)
			w = batch_each(k, t, got, and_delete);
		n += t->n;
		if (batch_flush(k, t) < 0)
			return -EFAULT;
		if (got < want && want < t->room)
			break; /* the next bucket has more than there is room for */
	}
	*ret_n = n;
	return w ? w : r == -ENOSPC && n ? 0 : r;
}

static s64 batch_lookup(struct call *k, bool and_delete)
{
	const struct attr_batch *a = &k->attr.batch;
	struct batch t util_cleanup(batch_deinit) = {};
	u32 n = 0;
	int r, w = 0;

	r = batch_init(k, and_delete ? ELEM_READ | ELEM_WRITE : ELEM_READ,
		       and_delete ? BATCH_LOOKUP_DELETE : BATCH_LOOKUP, &t);
	if (r < 0 || !a->count)
		return r;
	r = batch_put_count(k, 0);
	if (r < 0)
		return r;
	r = batch_seek(k, &t);
	if (r >= 0)
		r = t.by_token ? batch_scan(k, &t, and_delete, &n) : batch_walk(k, &t, r == 1, &n);
	if (r == -EFAULT)
		return r;
	if (t.by_token)
		w = client_write(k->c, a->out_batch, &t.bucket, sizeof(t.bucket));
	else if (n)
		w = client_write(k->c, a->out_batch, t.key, t.key_size);
	if (!w)
		w = batch_put_count(k, n);
	return w < 0 ? w : r;
}

s64 cmd_map_lookup_batch(struct call *k)
{
	return batch_lookup(k, false);
}

s64 cmd_map_lookup_and_delete_batch(struct call *k)
{
	return batch_lookup(k, true);
}

static s64 batch_change(struct call *k, bool update)
{
	const struct attr_batch *a = &k->attr.batch;
	struct batch t util_cleanup(batch_deinit) = {};
	u32 n;
	int r, w;

	r = batch_init(k, ELEM_WRITE, update ? BATCH_UPDATE : BATCH_DELETE, &t);
	if (r < 0)
		return r;
	for (n = 0; n < a->count; n++) {
		r = batch_fetch(k, &t, n, update);
		if (r < 0)
			break;
		r = update ? batch_put(k, &t) : batch_drop(k, &t);
		if (r < 0)
			break;
	}
	w = a->count ? batch_put_count(k, n) : 0;
	return w < 0 ? w : r;
}

s64 cmd_map_update_batch(struct call *k)
{
	return batch_change(k, true);
}

s64 cmd_map_delete_batch(struct call *k)
{
	return batch_change(k, false);
}
