/* SPDX-License-Identifier: MIT */
/* Two words at once on ARMv8.0: an exclusive load and store of a pair. Include through maps/pair.h. */
#pragma once

#include "abi/types.h"

/* p: two words, aligned to 16 bytes. If p[0] == old0 and p[1] == old1, writes new0 and new1 and
 * returns true. A full barrier, as x86-64's is. */
static inline bool pair_cas(u64 *p, u64 old0, u64 old1, u64 new0, u64 new1)
{
	u64 seen0, seen1;
	u32 busy;

	/* Only a store that succeeds proves that both words were read at the same time; for "no" one
	 * word that differed is enough. */
	__asm__ volatile("1: ldaxp %[s0], %[s1], %[m]\n\t"
			 "cmp %[s0], %[o0]\n\t"
			 "ccmp %[s1], %[o1], #0, eq\n\t"
			 "b.ne 2f\n\t"
			 "stlxp %w[busy], %[n0], %[n1], %[m]\n\t"
			 "cbnz %w[busy], 1b\n\t"
			 "2: dmb ish"
			 : [s0] "=&r"(seen0), [s1] "=&r"(seen1), [busy] "=&r"(busy), [m] "+Q"(*(u64(*)[2])p)
			 : [o0] "r"(old0), [o1] "r"(old1), [n0] "r"(new0), [n1] "r"(new1)
			 : "cc", "memory");
	return seen0 == old0 && seen1 == old1;
}
