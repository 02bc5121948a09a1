/* SPDX-License-Identifier: MIT */
/* Small arithmetic on sizes and bits. Freestanding. */
#pragma once

#include "abi/types.h"

#define bits_round_up(x, n) (((x) + ((n) - 1)) & ~((__typeof__(x))(n) - 1)) /* n a power of two */
#define bits_min(a, b) ((a) < (b) ? (a) : (b))
#define bits_max(a, b) ((a) > (b) ? (a) : (b))
#define bits_count(a) (sizeof(a) / sizeof((a)[0]))

static inline bool bits_is_pow2(u64 x)
{
	return x && !(x & (x - 1));
}

/* The next power of two >= x; x in 1..2^63. */
static inline u64 bits_pow2_ceil(u64 x)
{
	return x <= 1 ? 1 : 1ull << (64 - __builtin_clzll(x - 1));
}
