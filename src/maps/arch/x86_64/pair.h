/* SPDX-License-Identifier: MIT */
/* Two words at once on x86-64: every CPU since 2006 has cmpxchg16b. Include through maps/pair.h. */
#pragma once

#include "abi/types.h"

/* p: two words, aligned to 16 bytes. If p[0] == old0 and p[1] == old1, writes new0 and new1 and
 * returns true. */
static inline bool pair_cas(u64 *p, u64 old0, u64 old1, u64 new0, u64 new1)
{
	bool ok;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(ok), "+m"(*(u64(*)[2])p), "+a"(old0), "+d"(old1)
			 : "b"(new0), "c"(new1)
			 : "memory");
	return ok;
}
