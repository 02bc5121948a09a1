/* SPDX-License-Identifier: MIT */
/* Processes that have our block although we did not put it there: forked children, and what a killed broker left. */
#pragma once

#include "broker/link/attach.h"

/*
 * gates_addr, gates_ino: where the block's gates are mapped, and which file they are. Ours: the process is a forked
 * child, its record is made from what stands in its memory, and later changes reach it like any other process. A dead
 * broker's: every jump found is taken out and the block is left dead. Another living broker's: nothing is
 * done; nor with a dead one's that served another directory, unless others is set.
 * 1: done, 0: nothing to do, or -errno.
 */
int attach_adopt(struct process *p, u64 gates_addr, u64 gates_ino, bool others);
