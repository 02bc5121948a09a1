/* SPDX-License-Identifier: MIT */
/*
 * The broker changes the list of code regions from outside at any moment, without stopping us. Its
 * order:
 *
 *     state = FREE; fields; seq = a number never used before; state = LIVE
 *
 * and when nothing jumps into it any more, state = OLD, at last state = FREE. So fields read while
 * the state was not FREE, with the same seq before and after, belong together.
 */
#pragma once

#include "base/atomic.h"
#include "base/bits.h"
#include "payload/payload.h"

static inline u32 region_count(void)
{
	u32 n = at_load_acq(&nt_state.nregions);

	return bits_min(n, NT_MAX_REGIONS);
}

/* Calls may return through an old one, too. */
static inline bool region_is_there(const struct nt_region *r)
{
	return at_load_acq(&r->state) != NT_REGION_FREE;
}

/* Is addr in code that the broker made? */
static inline bool region_contains(u64 addr)
{
	for (u32 i = 0, n = region_count(); i < n; i++) {
		const struct nt_region *r = &nt_state.region[i];

		if (region_is_there(r) && addr - at_load(&r->base) < at_load(&r->size))
			return true;
	}
	return false;
}
