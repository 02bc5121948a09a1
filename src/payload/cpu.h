/* SPDX-License-Identifier: MIT */
/* One header per architecture supplies cpu_thread_self(), cpu_thread_base(), cpu_thread_u32(),
 * cpu_number(), cpu_node(), cpu_set_result(). */
#pragma once

#if defined(__x86_64__)
#include "payload/arch/x86_64/cpu.h"
#elif defined(__aarch64__)
#include "payload/arch/aarch64/cpu.h"
#else
#error "no port to this architecture yet"
#endif
