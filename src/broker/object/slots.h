/* SPDX-License-Identifier: MIT */
/*
 * Maps whose elements are objects: what the system call stored in them. The map's memory holds one word per element
 * for the targets; which object that is, and that it stays alive, is known here alone, because shared memory can say
 * anything.
 */
#pragma once

#include "broker/object/map.h"

bool map_has_slots(u32 type);
/* Element key (key_size bytes, checked) becomes o, of which a reference is taken. 0 or -ENOMEM. */
int object_slot_set(struct object_map *m, const void *key, struct object *o);
/* -ENOENT: it was empty. */
int object_slot_clear(struct object_map *m, const void *key);
/* NULL: empty. No reference is taken. */
struct object *object_slot_get(struct object_map *m, const void *key);
void object_slots_clear(struct object_map *m);

/* Array or hash of maps? */
bool map_is_of_maps(u32 type);
/* Walks the elements. */
struct map_slot *object_slots_first(struct object_map *m);
struct map_slot *object_slots_next(struct map_slot *s);
struct object *object_slot_object(const struct map_slot *s);
const void *object_slot_key(const struct map_slot *s);
