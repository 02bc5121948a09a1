/* SPDX-License-Identifier: MIT */
/* What maps_step.c steps through: operations on every type of map, and what must be left of it. */
#pragma once

#include "mapfile.h"

struct scene {
	const char *name;
	u32 type, key, value, max, flags;
	void (*fill)(struct nt_map_view *v, const struct nt_caller *c);
	void (*op)(struct nt_map_view *v, const struct nt_caller *c);
	u32 (*bad)(struct nt_map_view *v, const struct nt_caller *c); /* what is wrong afterwards */
};

extern const struct scene scenes_keys[], scenes_lists[], scenes_rings[]; /* a nameless one ends each */

/* The value that belongs to a number: four words. */
static inline const u64 *value_of(u64 n)
{
	static u64 value[4];

	for (u32 i = 0; i < 4; i++)
		value[i] = n * 1000 + i;
	return value;
}

static inline bool is_value_of(const u64 *p, u64 n)
{
	return p[0] == n * 1000 && p[1] == n * 1000 + 1 && p[3] == n * 1000 + 3;
}
