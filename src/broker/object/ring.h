/* SPDX-License-Identifier: MIT */
/* Waking the readers of a ring buffer map; object_map_pollable() and object_map_kick() are in
 * map.h. */
#pragma once

#include "broker/object/map.h"

void ring_poll_deinit(struct object_map *m);
