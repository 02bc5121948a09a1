/* SPDX-License-Identifier: MIT */
/*
 * Records on their way out. A ring buffer or perf buffer has one reader, the loader, and with `notrap run --kernel` two
 * sets of writers: programs in targets write into ours, programs in the kernel into its twin. A relay reads the twin and
 * writes what it finds into ours, in order.
 *
 *     program in the kernel -> twin --epoll--> relay (here) -> our map -> loader
 *     program in a target ------------------------------------^
 *
 * What does not fit into our ring buffer stays in the twin until there is room, so that it is the program's output which
 * fails in the end, as it should. A perf buffer counts what does not fit.
 */
#pragma once

#include "broker/object/map.h"

struct relay;

/* For m's twin, which is there; m outlives the relay. 0 or -errno. */
int relay_new(struct object_map *m, struct relay **ret);
void relay_free(struct relay *r); /* NULL is fine */
/* Perf buffers: the loader's event o is (NULL: is no longer) at this index of m. 0 or -errno of the kernel's own event. */
int relay_event(struct relay *r, u32 index, struct object *o);
/* What is in the twins by now is passed on before this returns. */
void relay_drain_all(struct broker *b);
