/* SPDX-License-Identifier: MIT */
/* Processes that have our block although we did not put it there: forked children, and what a killed broker left. */
#pragma once

#include "broker/link/attach.h"

/*
 * ours: the block belongs to this broker, so the process is a forked child: its record is made from what stands in
 * its memory, and later changes reach it like any other process. Else every jump found is taken out and the block is
 * left dead. 0 or -errno.
 */
int attach_adopt(struct process *p, u64 gates_addr, bool ours);
