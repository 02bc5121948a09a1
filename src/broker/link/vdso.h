/* SPDX-License-Identifier: MIT */
/* The kernel's vdso is the same image in every process, so ours tells where its functions are in a target's. */
#pragma once

#include <sys/types.h>

#include "abi/types.h"

/* Address of __vdso_clock_gettime in the process, 0 = none. */
u64 vdso_clock_gettime(pid_t pid);
