/* SPDX-License-Identifier: MIT */
/*
 * Makes what is written into a process agree with the consumer lists of the sites: the one place where code of a
 * target is changed.
 */
#pragma once

#include "broker/link/process.h"
#include "broker/link/site.h"

#define ATTACH_MANY 1000u /* sites that take more than a moment: not inside process_hold() */

/*
 * Brings the given sites of one module up to date: sites with consumers for this process get a slot for exactly that
 * list, sites without lose their jump. One stop of the target. All or nothing: on -errno the process is as it was.
 * force: rebuild also where the patch exists (the list has changed).
 */
int attach_module(struct process *p, struct module *m, struct site *const *site, u32 n);

/* Small code regions of a module become fewer. Done by the above, but not inside process_hold(): then it is to be called after
 * it. */
void attach_compact(struct process *p, struct module *m);

/* After an error: another broker (root's, or another directory's) may have the target for a moment. Waits and returns true
 * when it is worth to try again; not for a debugger. *tries: 0 at first. */
bool attach_again(struct process *p, int err, u32 *tries);

/* The same for every module of this binary in the process, which is scanned for them. Returns modules found or -errno. */
int attach_process(struct process *p, struct binary *b, struct site *const *site, u32 n);

/* Waits until no thread of the process is inside a program, dispatcher or helper, and notes which code regions no
 * site, no thread and no return entry refers to. 0, -ETIMEDOUT, or -errno of the stop. Then a program that
 * is marked as needed must stay mapped: it has ended but for its last instructions. */
int attach_outside(struct process *p, u32 timeout_ms);
/* Takes away those regions. */
void attach_reclaim(struct process *p);
/* Both. */
int attach_quiesce(struct process *p, u32 timeout_ms);
