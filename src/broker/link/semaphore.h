/* SPDX-License-Identifier: MIT */
/* Reference counters of probe sites (USDT semaphores). */
#pragma once

#include "broker/link/process.h"
#include "broker/link/site.h"

/*
 * Adds delta to the 16-bit counter at this offset of the file, in every private writable mapping that has it: what the
 * kernel's update_ref_ctr() does (kernel/events/uprobes.c). An offset that is mapped nowhere so has no effect.
 */
void semaphore_add(struct process *p, const struct binary *b, u64 off, s32 delta);
