/* SPDX-License-Identifier: MIT */
/* The keeper says which process waits; which of its threads, where, and for what? */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "abi/types.h"

struct engine;
struct keeper_guest;

struct door_waiter {
	pid_t pid, tid;
	bool executes;
	bool running; /* a thread that is not asleep: it may be on its way to it */
	u64 pc;	      /* behind its system call */
};

/* The thread that waits. The event names the process only, and the thread may be just about to go to sleep, while others
 * have the processor: looks for some tenths of a second. False: nobody waits there (any more). */
bool door_find_waiter(struct engine *e, const struct keeper_guest *g, struct door_waiter *ret);
/* Was the system call made by the dynamic linker? Many read a library without using it. */
bool door_is_linker_at(pid_t pid, u64 pc);
