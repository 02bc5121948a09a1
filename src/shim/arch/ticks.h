/* SPDX-License-Identifier: MIT */
/* A counter of time that costs no system call; one header per architecture supplies ticks_now(). */
#pragma once

#if defined(__x86_64__)
#include "shim/arch/x86_64/ticks.h"
#else
#error "no port to this architecture yet"
#endif
