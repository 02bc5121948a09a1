/* SPDX-License-Identifier: MIT */
/*
 * Notices processes: new ones, forked children of instrumented ones, libraries loaded later, exits and execs. While
 * any link is open it looks at /proc in short intervals (cheaply: only what changed is read), and at once where
 * somebody rings: the dynamic linker of an instrumented process, and the kernel's process events when it lets us.
 */
#pragma once

#include <sys/types.h>

#include "abi/types.h"

struct engine;
struct link;
struct watch;

int watch_new(struct engine *e, struct watch **ret);
void watch_free(struct watch *w);

/* Attaches a new link to every process it concerns, now. 0, or the first error when it could be attached nowhere. */
int watch_link_opened(struct watch *w, struct link *l);
/* Looks for forked children that the record does not know yet: before a link is taken out everywhere. */
void watch_find_children(struct watch *w);
/* At start: takes out what a killed broker left in processes of this user. */
void watch_clean_up(struct watch *w);
/* The timer only runs while there is something to watch for. */
void watch_update(struct watch *w);
/* Is there a link that wants this process? */
bool watch_wants(const struct watch *w, pid_t pid);
/* A process none of whose code has run yet, open and ready for system calls: attaches every link that wants it, also
 * those whose file it does not map so far. */
struct process;
void watch_attach_newborn(struct watch *w, struct process *p);
/* Brings one process up to date, now. */
void watch_look_at(struct watch *w, pid_t pid);
/* A dynamic linker waits for us to look at its process. */
void watch_linker_rang(struct watch *w);
