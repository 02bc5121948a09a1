/* SPDX-License-Identifier: MIT */
/* Finds processes that have just been started, best while they are still in the hands of their dynamic linker. */
#pragma once

#include "broker/link/engine.h"

#define STARTING_SEEN 16u

struct starting {
	struct engine *engine;
	pid_t seen[STARTING_SEEN]; /* who was found since starting_begin() */
	u32 nseen;
};

void starting_begin(struct starting *s, struct engine *e);
/*
 * A process of our user that is young, executes or maps a file that some link for it is on, has nothing of ours in it, is
 * not traced, and has not been found before; or 0. Only the newest process ids are looked at. Quick: to be called again and again.
 */
pid_t starting_next(struct starting *s);
/* Of one that is stopped: will its dynamic linker have to do with it yet, so none of its code has run? Also true of a
 * program without one; that was stopped as soon as it was seen. */
bool starting_is_early(struct starting *s, pid_t pid);
