/* SPDX-License-Identifier: MIT */
#pragma once

#include "payload/payload.h"

#pragma GCC visibility push(hidden)
/* The thread's name, NUL-terminated and padded with NULs. 0, or -errno: all NUL. */
int comm_get(char ret[NT_COMM_LEN]);
#pragma GCC visibility pop
