/* SPDX-License-Identifier: MIT */
/* Memory functions that exist in both builds: the payload has no libc. Eight bytes at a time, any alignment. */
#pragma once

#include "abi/types.h"

typedef u64 mem_word __attribute__((may_alias, aligned(1)));

static inline void mem_copy(void *dst, const void *src, size_t n)
{
	u8 *d = dst;
	const u8 *s = src;

	for (; n >= 8; n -= 8, d += 8, s += 8)
		*(mem_word *)d = *(const mem_word *)s;
	for (; n; n--)
		*d++ = *s++;
}

/* The ranges may overlap. */
static inline void mem_move(void *dst, const void *src, size_t n)
{
	if ((uintptr_t)dst - (uintptr_t)src >= n) {
		mem_copy(dst, src, n);
		return;
	}
	while (n--)
		((volatile u8 *)dst)[n] = ((const u8 *)src)[n];
}

static inline void mem_zero(void *dst, size_t n)
{
	u8 *d = dst;

	for (; n >= 8; n -= 8, d += 8)
		*(mem_word *)d = 0;
	for (; n; n--)
		*d++ = 0;
}

static inline bool mem_equal(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n >= 8; n -= 8, x += 8, y += 8)
		if (*(const mem_word *)x != *(const mem_word *)y)
			return false;
	for (; n; n--)
		if (*x++ != *y++)
			return false;
	return true;
}
