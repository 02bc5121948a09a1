/* SPDX-License-Identifier: MIT */
/* Raw system calls for code that has no libc; one header per architecture supplies sys_call6(). */
#pragma once

#if defined(__x86_64__)
#include "base/arch/x86_64/syscall.h"
#elif defined(__aarch64__)
#include "base/arch/aarch64/syscall.h"
#else
#error "no port to this architecture yet"
#endif

#include <asm/unistd.h>

static inline s64 sys_call3(long nr, u64 a0, u64 a1, u64 a2)
{
	return sys_call6(nr, a0, a1, a2, 0, 0, 0);
}
