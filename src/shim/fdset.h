/* SPDX-License-Identifier: MIT */
/*
 * Which descriptor numbers of this process came from the broker, or are duplicates of such. A hint,
 * not the truth: it decides whether a close() has to be told to the broker at once. Lock-free;
 * wrong after vfork or SCM_RIGHTS, and nothing breaks then.
 */
#pragma once

#include "abi/types.h"

#define FDSET_MAX 65536

struct fdset {
	u64 bits[FDSET_MAX / 64];
};

static inline bool fdset_has(const struct fdset *s, int fd)
{
	return fd >= 0 && fd < FDSET_MAX &&
	       __atomic_load_n(&s->bits[fd / 64], __ATOMIC_RELAXED) >> (fd % 64) & 1;
}

static inline void fdset_put(struct fdset *s, int fd, bool in)
{
	u64 bit = 1ull << (fd % 64);

	if (fd < 0 || fd >= FDSET_MAX)
		return;
	if (in)
		__atomic_fetch_or(&s->bits[fd / 64], bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&s->bits[fd / 64], ~bit, __ATOMIC_RELAXED);
}
