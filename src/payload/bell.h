/* SPDX-License-Identifier: MIT */
#pragma once

#include "payload/payload.h"

#pragma GCC visibility push(hidden)
/* Tells the broker that there is news. */
void bell_ring(void);
/* After a commit that a consumer waits for: rings if somebody armed the ring, once per arming. */
void bell_ring_if_armed(const struct nt_map_view *ring);
#pragma GCC visibility pop
