/* SPDX-License-Identifier: MIT */
/* Work on targets that is not cut short when the broker is killed. */
#pragma once

#include <sys/types.h>

#include "abi/types.h"

#define STEADY_NAME "notrap-hands" /* the process that does the work */

struct engine;

void steady_init(struct engine *e); /* by the main thread */
void steady_deinit(struct engine *e);

/*
 * Calls fn(arg) and returns when it has returned, in a process that shares our memory and descriptors. If this process
 * is killed meanwhile, fn goes on to its end all the same. Inside such a call it just calls fn.
 * fn must not care about its process id; everything else is as in a plain call.
 */
void steady_run(struct engine *e, void (*fn)(void *arg), void *arg);

/* Inside steady_run(): the work runs ahead of other threads, so that a small attach does not wait for a turn at each
 * step. What follows takes long: from now on it takes its turns. */
void steady_take_time(struct engine *e);

/* Inside steady_run(): is the broker dead? Then finish what is begun, and begin nothing more. */
bool steady_is_orphan(const struct engine *e);

/* Is this a process of a broker, ours or another's? Two brokers that stop each other would never go on. */
bool steady_is_broker(const struct engine *e, pid_t pid);
