/* SPDX-License-Identifier: MIT */
/*
 * Gates: one word of shared memory per link, 1 while the link is open; a copy per process for links with a pid filter.
 *
 * A call that is pending when its link is closed will still look at the gate, however long it takes. So a gate is given
 * to another link only when no code in any process looks at it any more, and as late as possible.
 */
#pragma once

#include "broker/link/batch.h"

/* Which gates the batch's region looks at. -ENOMEM. */
int gates_note(const struct batch *b, struct code_region *r);
/* The link is closed, and its gate. */
void gate_release(struct engine *e, u32 gate);
