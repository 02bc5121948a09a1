/* SPDX-License-Identifier: MIT */
/*
 * Calling a function of the program from a helper. It is compiled as an ordinary C function, except
 * that it wants r12 to be what the program that called the helper has there (its ctx). A C function
 * has r12 for itself, so such helpers begin with a stub that hands it on as a sixth argument, and
 * call back through callback_call().
 */
#pragma once

#include "payload/payload.h"

typedef u64 callback_helper(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, u64 keep);

#pragma GCC visibility push(hidden)
u64 callback_call(u64 fn, u64 r1, u64 r2, u64 r3, u64 r4, u64 keep);

callback_helper callback_loop, callback_for_each, callback_user_ring_drain;
/* Helpers that do not call back, but want ctx, which r12 is: the compiler keeps it there for them. */
callback_helper callback_task_stack;
#pragma GCC visibility pop
