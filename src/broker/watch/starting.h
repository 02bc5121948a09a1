/* SPDX-License-Identifier: MIT */
/* Finds processes that have just been started, best while they are still in the hands of their dynamic linker. */
#pragma once

#include "broker/link/engine.h"

/*
 * Calls found(pid, loading, arg) for a process of our user that is young, maps a file that some link for it is on, and has
 * nothing of ours in it. loading: its dynamic linker is at work, no code of its own has run. Only the newest process ids are
 * looked at; again and again for at most ms milliseconds, until one is found.
 */
void starting_find(struct engine *e, u32 ms, void (*found)(pid_t pid, bool loading, void *arg), void *arg);
