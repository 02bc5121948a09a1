/* SPDX-License-Identifier: MIT */
/*
 * Programs that run in their loader: perf events of the software clock, and BPF_PROG_TEST_RUN. The program and its maps
 * are mapped into the loader as into any target; there the shim calls it (shim/run.c), so "current" is the loader: its
 * pid, its name, its memory.
 */
#pragma once

#include <sys/types.h>

#include "abi/types.h"

struct broker;
struct object_prog;
struct run;

/* Maps prog into process pid and takes a gate, closed (NT_RUN_OFF). The run holds a reference on prog. loader_call: as in
 * struct nt_state, 0 = leave it.
 * -ESRCH, -EPERM, -EACCES (seccomp filter), -ENOMEM, -ENOSPC (no gate left). */
int run_open(struct broker *b, pid_t pid, struct object_prog *prog, u64 loader_call, struct run **ret);

/* NT_RUN_OFF or NT_RUN_ON: takes effect at the next tick. */
void run_set(struct run *r, u32 value);

/*
 * No tick begins any more. What is mapped stays until the loader says that it is out (run_left()) or is gone; r must not
 * be used any more. left: it is known that the loader is not inside. NULL is fine.
 */
void run_close(struct run *r, bool left);

/* The loader's thread that ran `token` has ended. Unknown tokens are ignored. */
void run_left(struct broker *b, pid_t pid, u64 token);

/* For the loader: where the program and its gate are in its own memory. */
u64 run_token(const struct run *r);
u64 run_entry(const struct run *r);
u64 run_gate(const struct run *r);
