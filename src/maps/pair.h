/* SPDX-License-Identifier: MIT */
/* Compare-and-swap of two neighbouring words; one header per architecture supplies pair_cas().
 * Freestanding. */
#pragma once

#if defined(__x86_64__)
#include "maps/arch/x86_64/pair.h"
#elif defined(__aarch64__)
#include "maps/arch/aarch64/pair.h"
#else
#error "no port to this architecture yet"
#endif
