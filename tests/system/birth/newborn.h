/* SPDX-License-Identifier: MIT */
/* Functions that are counted: visible, never inlined, with a beginning that every patch form knows. */
#pragma once

#define COUNTED(name)                                                                                        \
	__attribute__((visibility("default"), noinline, noclone)) unsigned long name(unsigned long x);       \
	unsigned long name(unsigned long x)                                                                  \
	{                                                                                                    \
		__asm__ volatile("" : "+r"(x));                                                              \
		return 3 * x + 1;                                                                            \
	}

/* Calls fn n times; every result is checked: a wrong one ends the process. */
static inline void call_times(unsigned long (*fn)(unsigned long), unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		if (fn(i) != 3 * i + 1)
			__builtin_trap();
}
