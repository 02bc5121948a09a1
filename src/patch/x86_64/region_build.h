/* SPDX-License-Identifier: MIT */
/* A region while it is built. Internal to region.c and region_slot.c. */
#pragma once

#include "patch/region.h"
#include "patch/x86_64/dispatch.h"

#define SLOT_THUNK_SIZE 16u

struct shape_code { /* run-time addresses */
	u64 entry, middle, exit;
};

struct region_build {
	const struct region_env *env;
	const struct region_shape *shape;
	u32 nshapes;
	struct region_site *site;
	u32 nsites;
	u64 base;
	u8 *out;
	u32 cap;
	struct shape_code *code;
	u64 *consumer_words; /* run-time address of each consumer's words, shape after shape */
	u32 nreturns, nledger;
	bool any_inlined;
	u32 words, text, follow, thunks, frames, ledger, slots; /* offsets of the sections */
};

/* The plan of a site to come, into the cache. */
static inline void region_prefetch(const struct region_site *site, u32 i, u32 n)
{
	const char *p = i + 8 < n ? (const char *)site[i + 8].plan : NULL;

	if (!p)
		return;
	for (u32 k = 0; k < sizeof(struct patch_plan); k += 64)
		__builtin_prefetch(p + k);
}

/* Where the code of this shape finds its words. */
struct dispatch_words build_words(const struct region_build *b, u32 shape);

/* --- region_slot.c --- */

/* Does a slot of this site hold everything? Short lists, at entries of functions. */
bool slot_inlined(const struct region_shape *shape, const struct region_site *s, u32 nsites);
/* Does it have a thunk? */
bool slot_returns(const struct region_shape *shape, const struct region_site *s);
/* Upper bounds: code of the shape's consumers, once; a slot. */
u32 slot_consumers_bound(const struct region_shape *s);
u32 slot_bound(const struct region_shape *shape, const struct region_site *s, u32 nsites);
/* One slot; thunk is the offset of its thunk or 0. Advances *at. -ERANGE: it does not reach from here. */
int slot_write(struct region_build *b, struct region_site *s, u32 *at, u32 thunk);
