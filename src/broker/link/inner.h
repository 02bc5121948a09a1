/* SPDX-License-Identifier: MIT */
/* Maps that are elements of maps, in the processes that use the outer map. */
#pragma once

#include "broker/link/process.h"

/* The program was mapped: makes the elements of its maps of maps known in the process. */
void inner_map_all(struct process *p, const struct object_prog *prog);
/* The outer map is going away from the process, no program uses it any more. */
void inner_unmap(struct process *p, struct process_map *outer);
