/* SPDX-License-Identifier: MIT */
/* Who is running, as the broker numbers processes: what programs are told. */
#pragma once

#include "payload/payload.h"

#pragma GCC visibility push(hidden)
/* tgid << 32 | tid of the running thread in the broker's pid namespace; 0 = cannot be known here. Of a process in another
 * namespace it may have to be asked for, once for each thread; where there is no answer, its own numbers are given. */
u64 ids_current(void);
/* The running thread as owner of what is shared: its number there, or one that nobody takes for another's. */
u32 ids_owner(void);
#pragma GCC visibility pop
