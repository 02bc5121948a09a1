/* SPDX-License-Identifier: MIT */
/*
 * Return probes without touching the stack: the link's program runs at every `ret` of the function (patch_function_rets()).
 * For functions that cannot be called through (Go, those that use rbx as they like, those that look at their return
 * address), and as a second choice for all others, in processes whose unwinder cannot be told of our frames.
 */
#pragma once

#include "broker/link/engine.h"

struct exits { /* consumers of a link at `ret`s; they never move */
	struct exits *next;
	u32 first, n; /* they belong to link.site[first .. first + n) */
	struct consumer consumer[];
};

/*
 * Puts the link on the `ret`s of its targets that have none yet: of all that can be called through if `spare`, else of the
 * others. The link is one at returns, and its targets are on its sites' lists. Of those that it cannot be put on, reason[]
 * (one byte per target, may be NULL) gets why. -ENOMEM.
 */
int exits_join(struct link *l, bool spare, u8 *reason);
/* The consumer at l->site[k], which is one of these. */
const struct consumer *exits_consumer(const struct link *l, u32 k);
/* Takes it from all of them, and frees what that needed. */
void exits_leave(struct link *l);

/* Are there processes that need the second choice? Joins all links at returns of this binary, now and later; true if that
 * made new sites. */
bool exits_spare(struct binary *b, struct engine *e);
