/* SPDX-License-Identifier: MIT */
/* Programs that run in the loader, at the broker's order: once (BPF_PROG_TEST_RUN), or by the clock. */
#pragma once

#include <sched.h>

#include "abi/wire.h"

/* BPF_PROG_TEST_RUN, test_run.c: runs the program with what the attr says and fills in the results. 0 or -errno. */
s64 run_once(const struct nt_run_order *order, u64 attr, u64 attr_size);
/* A thread that runs it until the gate says NT_RUN_END; then calls left(token). -errno: no thread could be made. */
int run_by_clock(const struct nt_run_order *order, void (*left)(u64 token));
/* Waits until no program runs whose gate is shut: what close() of such an event promises. */
void run_settle(void);
/* -1: no; *old: where this thread ran before. */
void run_bind_cpu(s32 cpu, cpu_set_t *old);
