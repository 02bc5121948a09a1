/* SPDX-License-Identifier: MIT */
/* System calls on elements of maps whose elements are objects (broker/object/slots.h). */
#pragma once

#include "broker/cmd/cmd.h"
#include "broker/object/map.h"

int slots_update(struct call *k, struct object_map *m, const void *key, const u32 *fd, u64 flags);
int slots_lookup(struct call *k, struct object_map *m, const void *key);
/* The same without the caller's memory: -ENOENT empty, -ENOTSUPP the elements have no ids. */
int slots_get_id(struct object_map *m, const void *key, u32 *ret_id);
int slots_delete(struct call *k, struct object_map *m, const void *key);
