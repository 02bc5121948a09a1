/* SPDX-License-Identifier: MIT */
/*
 * The dynamic linker calls an empty function (_dl_debug_state, where r_debug.r_brk points) before and after it maps a
 * library. A probe of our own there rings and waits for us, so that functions of a library that is loaded later are
 * patched before its constructors run. It is a link without a program, in processes that are instrumented anyway.
 */
#pragma once

#include "broker/link/process.h"
#include "broker/link/site.h"

/* Puts the probe into a process whose block is in place; once. A process without a known linker is left as it is. */
void linker_watch_process(struct process *p);
/* Is it in the midst of mapping libraries, in a process that it was put into? (Where that cannot be known: no.) */
bool linker_is_busy(struct process *p);
/* The same of any process: base is where the linker's file at path (as the process sees it) is mapped. */
bool linker_is_busy_at(struct engine *e, pid_t pid, const char *path, u64 base);
bool linker_is_path(const char *path);
/* Takes it out of one process, because no link is left that could want a library; afterwards its threads may still be in it
 * (attach_quiesce()). 0 or -errno. */
int linker_leave_process(struct process *p);
/* Is it in any process? */
bool linker_is_anywhere(const struct engine *e);
/* Takes all of them out again: no link is left that could want a library. */
void linker_forget_all(struct engine *e);
