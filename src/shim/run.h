/* SPDX-License-Identifier: MIT */
/* Programs that run in the loader, at the broker's order: once (BPF_PROG_TEST_RUN), or by the clock. */
#pragma once

#include "abi/wire.h"

/* BPF_PROG_TEST_RUN: runs the program with the attr's context and fills its retval. */
void run_once(const struct nt_run_order *order, u64 attr, u64 attr_size);
/* A thread that runs it until the gate says NT_RUN_END; then calls left(token). -errno: no thread could be made. */
int run_by_clock(const struct nt_run_order *order, void (*left)(u64 token));
/* Waits until no program runs whose gate is shut: what close() of such an event promises. */
void run_settle(void);
