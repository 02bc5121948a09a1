/* SPDX-License-Identifier: MIT */
#include "broker/object/slots.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

struct map_slot {
	struct object *object; /* owned reference */
	UT_hash_handle hh;     /* object_map.slots */
	u8 key[];
};

bool map_is_of_maps(u32 type)
{
	return type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

bool map_has_slots(u32 type)
{
	return map_is_of_maps(type) || type == BPF_MAP_TYPE_PERF_EVENT_ARRAY || type == BPF_MAP_TYPE_PROG_ARRAY ||
	       type == BPF_MAP_TYPE_CGROUP_ARRAY;
}

static struct map_slot *slot_find(struct object_map *m, const void *key)
{
	struct map_slot *s;

	HASH_FIND(hh, m->slots, key, m->view.key_size, s);
	return s;
}

int object_slot_set(struct object_map *m, const void *key, struct object *o)
{
	struct map_slot *s = slot_find(m, key);
	struct object *old;

	object_ref(o);
	if (s) {
		old = s->object;
		s->object = o;
		object_unref(old);
		return 0;
	}
	s = calloc(1, sizeof(*s) + m->view.key_size);
	if (!s) {
		object_unref(o);
		return -ENOMEM;
	}
	s->object = o;
	memcpy(s->key, key, m->view.key_size);
	HASH_ADD_KEYPTR(hh, m->slots, s->key, m->view.key_size, s);
	return 0;
}

static void slot_free(struct object_map *m, struct map_slot *s)
{
	struct object *o = s->object;

	HASH_DELETE(hh, m->slots, s);
	free(s);
	object_unref(o);
}

int object_slot_clear(struct object_map *m, const void *key)
{
	struct map_slot *s = slot_find(m, key);

	if (!s)
		return -ENOENT;
	slot_free(m, s);
	return 0;
}

struct object *object_slot_get(struct object_map *m, const void *key)
{
	struct map_slot *s = slot_find(m, key);

	return s ? s->object : NULL;
}

void object_slots_clear(struct object_map *m)
{
	struct map_slot *s, *tmp;

	HASH_ITER(hh, m->slots, s, tmp)
	slot_free(m, s);
}

struct map_slot *object_slots_first(struct object_map *m)
{
	return m->slots;
}

struct map_slot *object_slots_next(struct map_slot *s)
{
	return s->hh.next;
}

struct object *object_slot_object(const struct map_slot *s)
{
	return s->object;
}

const void *object_slot_key(const struct map_slot *s)
{
	return s->key;
}
