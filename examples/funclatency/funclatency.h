/* SPDX-License-Identifier: MIT */
/* What the program and its loader share. */
#pragma once

#define MAX_SLOTS 36 /* of a log2 histogram: up to 2^36 units */

struct histogram {
	__u64 calls;
	__u64 total; /* units */
	__u64 slot[MAX_SLOTS];
};
