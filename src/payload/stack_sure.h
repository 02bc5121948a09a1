/* SPDX-License-Identifier: MIT */
/* How much of a thread's stack can be read without asking the kernel. */
#pragma once

#include "payload/payload.h"

#pragma GCC visibility push(hidden)
/* [here, end) is memory of this thread's stack for certain; here is the address of a live frame. 0: nobody knows. */
u64 stack_sure_end(u64 here);
/* The same on the main thread's stack, for an address that may be anything; sp is a stack pointer that was saved. */
u64 stack_sure_main(u64 sp);
#pragma GCC visibility pop
