/* SPDX-License-Identifier: MIT */
/*
 * Hashing and comparing keys. A multiplication of two words has 128 bits; folding the halves
 * together lets every bit of the input reach every bit of the result. One such step per 8 bytes of
 * key, seeded per map. Freestanding.
 */
#pragma once

#include "abi/types.h"
#include "base/mem.h"

#define KEY_MUL 0x9e3779b97f4a7c15ull
#define KEY_MUL_LAST 0xd6e8feb86659fd93ull

typedef u32 key_half __attribute__((may_alias, aligned(1)));

static inline u64 key_fold(u64 a, u64 b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (u64)m ^ (u64)(m >> 64);
}

/* size is a constant 4 or 8 in the fast callers. */
static inline __attribute__((always_inline)) u32 key_hash(const void *key, u32 size, u64 seed)
{
	const u8 *p = key;
	u64 h = seed ^ size, tail = 0;
	u32 left = size;

	if (size == 4)
		return (u32)key_fold(*(const key_half *)p ^ seed, KEY_MUL);
	if (size == 8)
		return (u32)key_fold(*(const mem_word *)p ^ seed, KEY_MUL);
	for (; left >= 8; left -= 8, p += 8)
		h = key_fold(*(const mem_word *)p ^ h, KEY_MUL);
	if (left && size > 8) /* the last word, overlapping the one before */
		tail = *(const mem_word *)(p + left - 8);
	else
		for (u32 i = 0; i < left; i++)
			tail |= (u64)p[i] << (8 * i);
	return (u32)key_fold(tail ^ h, KEY_MUL_LAST);
}

static inline __attribute__((always_inline)) bool key_equal(const void *a, const void *b, u32 size)
{
	if (size == 4)
		return *(const key_half *)a == *(const key_half *)b;
	if (size == 8)
		return *(const mem_word *)a == *(const mem_word *)b;
	return mem_equal(a, b, size);
}
