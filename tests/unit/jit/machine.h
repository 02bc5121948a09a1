/* SPDX-License-Identifier: MIT */
/* What the harness needs of the machine it runs on: one file per architecture, in arch/. */
#pragma once

#include "abi/types.h"
#include "jit/jit.h"

extern const enum jit_arch machine_arch;

/* As the payload's (payload/callback.h): helper 181, and the call of a program's function with its ctx register. */
void machine_loop_stub(void);
u64 machine_call_back(u64 fn, u64 i, u64 data, u64 keep);
/* The C part of the stub. */
u64 jt_loop(u64 n, u64 fn, u64 data, u64 keep);

/* May compiled code use the instructions of BMI2 (x86-64)? */
bool machine_has_bmi2(void);
/* CPU number as compiled code sees it. */
u32 machine_cpu(void);
/* Calls the program with a pattern in every register but the stack pointer; *ret_bad: registers outside `clobbers`
 * that do not have it afterwards. */
u64 machine_run(u64 fn, u64 ctx, u32 clobbers, u32 *ret_bad);
