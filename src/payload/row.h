/* SPDX-License-Identifier: MIT */
#pragma once

#include "payload/payload.h"

#pragma GCC visibility push(hidden)
/* The next number of this thread's generator (row may be NULL: then a poor one). Not for secrets.
 */
u64 row_random(struct nt_row *row);
#pragma GCC visibility pop
