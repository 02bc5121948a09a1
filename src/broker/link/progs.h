/* SPDX-License-Identifier: MIT */
/* Programs that only tail calls reach. */
#pragma once

#include "broker/link/process.h"

/* Maps what the arrays of prog hold, and what those programs' arrays hold, into the process. Called when prog has been
 * mapped itself. A program that cannot be mapped is left out: tail calls to it find nobody. */
void progs_map_arrays(struct process *p, const struct object_prog *prog);
