/* SPDX-License-Identifier: MIT */
/* The perf buffer's half of relay.c: an event of the kernel's own for each of the loader's, on the same CPU. */
#pragma once

#include "broker/object/map.h"

struct relay_perf;

int relay_perf_new(struct object_map *m, struct relay_perf **ret);
void relay_perf_free(struct relay_perf *r); /* NULL is fine */
void relay_perf_pass(struct relay_perf *r);
int relay_perf_event(struct relay_perf *r, u32 index, struct object *o);
