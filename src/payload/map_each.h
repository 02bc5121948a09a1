/* SPDX-License-Identifier: MIT */
/* Iteration of a program over a map. */
#pragma once

#include "abi/map.h"

struct map_each { /* begins all zero */
	const void *key; /* out: of the element; */
	void *value;	 /* per-CPU types: the caller's CPU's */
	u32 at;	      /* array: the next index; hash: the bucket */
	u32 next;     /* hash: the next element of the bucket */
	u32 index;    /* array: the key */
	bool inside;  /* hash: next is valid */
};

#pragma GCC visibility push(hidden)
/* The next element. False: there are no more, or the type has none to go over. */
bool map_each_next(const struct nt_map_view *v, const struct nt_caller *c, struct map_each *e);
#pragma GCC visibility pop
