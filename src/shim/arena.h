/* SPDX-License-Identifier: MIT */
/* mmap(2) of an arena. */
#pragma once

#include "shim/session.h"

struct arena_place {
	u64 addr, length, prot, flags; /* as the application asks */
	u64 at;	/* where it must be, 0 = that is open */
};

/* Where it is, or -errno: -EBUSY, something else is there. */
s64 arena_map(struct session *s, int fd, const struct arena_place *p);
