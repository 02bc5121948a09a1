/* SPDX-License-Identifier: MIT */
/* Raw system calls: no libc, no errno. Returns -errno in [-4095, -1]. Include through base/syscall.h. */
#pragma once

#include "abi/types.h"

static inline s64 sys_call6(long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5)
{
	s64 ret;
	register u64 r10 __asm__("r10") = a3;
	register u64 r8 __asm__("r8") = a4;
	register u64 r9 __asm__("r9") = a5;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a0), "S"(a1), "d"(a2), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
