/* SPDX-License-Identifier: MIT */
/*
 * Functions that the compiler calls in its own name, to zero or copy a struct. x86-64 has instructions for that; here
 * GCC wants them from whoever has no libc. Only in the freestanding build.
 */
#include "base/mem.h"

#pragma GCC visibility push(hidden)
void *memset(void *dst, int c, size_t n);
void *memcpy(void *dst, const void *src, size_t n);
#pragma GCC visibility pop

void *memset(void *dst, int c, size_t n)
{
	u64 word = 0x0101010101010101ull * (u8)c;
	u8 *d = dst;

	for (; n >= 8; n -= 8, d += 8)
		*(mem_word *)d = word;
	for (; n; n--)
		*d++ = (u8)c;
	return dst;
}

void *memcpy(void *dst, const void *src, size_t n)
{
	mem_copy(dst, src, n);
	return dst;
}
