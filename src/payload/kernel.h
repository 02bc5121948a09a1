/* SPDX-License-Identifier: MIT */
/* The only door to the kernel: closed in processes with a seccomp filter, where a call could mean
 * death. */
#pragma once

#include <asm/errno.h>

#include "base/syscall.h"
#include "payload/payload.h"

static inline bool kernel_allowed(void)
{
	return !(nt_state.flags & NT_STATE_NO_SYSCALL);
}

/* Result of the system call, or -EPERM. */
static inline s64 kernel_call6(long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5)
{
	if (!kernel_allowed())
		return -EPERM;
	return sys_call6(nr, a0, a1, a2, a3, a4, a5);
}

static inline s64 kernel_call2(long nr, u64 a0, u64 a1)
{
	return kernel_call6(nr, a0, a1, 0, 0, 0, 0);
}

static inline s64 kernel_call3(long nr, u64 a0, u64 a1, u64 a2)
{
	return kernel_call6(nr, a0, a1, a2, 0, 0, 0);
}
