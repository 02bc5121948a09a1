/* SPDX-License-Identifier: MIT */
/* Unwind tables (abi/unwind.h) of the files that processes map: made once per file, shared by all its processes. */
#pragma once

#include "broker/link/process.h"

/* Does the program walk stacks? */
bool tables_wanted(const struct object_prog *prog);
/* Brings a process' list of modules and their tables up to date, if one of its programs walks stacks. A file that has no
 * tables, or whose tables cannot be mapped, is left out: there the payload goes by frame pointers. */
void tables_update(struct process *p);
void tables_free_all(struct engine *e);
