/* SPDX-License-Identifier: MIT */
#pragma once

#include "abi/types.h"

static inline u64 ticks_now(void)
{
	return __builtin_ia32_rdtsc();
}
