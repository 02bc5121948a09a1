/* SPDX-License-Identifier: MIT */
#pragma once

#include "payload/payload.h"

#define CLOCK_ID_MONOTONIC 1u
#define CLOCK_ID_MONOTONIC_COARSE 6u
#define CLOCK_ID_BOOTTIME 7u
#define CLOCK_ID_TAI 11u

#pragma GCC visibility push(hidden)
/* Nanoseconds of that clock as clock_gettime(2) gives them; 0 = there is no way to ask. */
u64 clock_ns(u32 id);
#pragma GCC visibility pop
