/* SPDX-License-Identifier: MIT */
/* Teaching the unwinder of a target about our thunks. */
#pragma once

#include "broker/link/process.h"

/*
 * Makes libc's _dl_find_object (glibc 2.35 and newer, dynamically linked) ask the payload first, so that exceptions,
 * pthread_cancel and backtraces pass return probes. Does nothing when it is done already. -EOPNOTSUPP: the process can
 * unwind (libgcc_s, libunwind or a static C++ runtime) but not through such a function: no return probe is safe in it.
 */
int unwind_hook(struct process *p);
