/* SPDX-License-Identifier: MIT */
/*
 * bpf_iter_num_*, bpf_iter_bits_*. An iterator is 8 or 16 bytes of the program's stack that only
 * these functions touch.
 */
#include <asm/errno.h>

#include "payload/kfunc.h"
#include "payload/safe_read.h"

#define LOOPS_MAX (1 << 23)
#define BITS_WORDS_MAX 511u

struct iter_num {
	s32 cur, end;
};

/* The kernel copies the words it iterates over; more than one we read again as we come to it. */
struct iter_bits {
	u64 word; /* the only one, or the address of the first */
	s32 bits;
	s32 bit; /* the last one found, bits: the end */
};

u64 kfunc_iter_num_new(u64 iter, u64 start, u64 end, u64 r4, u64 r5)
{
	struct iter_num *it = (void *)iter;
	s32 from = (s32)start, to = (s32)end;

	*it = (struct iter_num){0, 0};
	if (from > to)
		return (u64)-EINVAL;
	if ((s64)to - from > LOOPS_MAX)
		return (u64)-E2BIG;
	*it = (struct iter_num){(s32)((u32)from - 1), to};
	return 0;
}

u64 kfunc_iter_num_next(u64 iter, u64 r2, u64 r3, u64 r4, u64 r5)
{
	struct iter_num *it = (void *)iter;
	s32 next = (s32)((u32)it->cur + 1); /* the first one may be the smallest number */

	if (next >= it->end) {
		*it = (struct iter_num){0, 0};
		return 0;
	}
	it->cur = next;
	return (u64)&it->cur;
}

u64 kfunc_iter_num_destroy(u64 iter, u64 r2, u64 r3, u64 r4, u64 r5)
{
	*(struct iter_num *)iter = (struct iter_num){0, 0};
	return 0;
}

static bool bits_word(const struct iter_bits *it, u32 i, u64 *ret)
{
	if (it->bits > 64)
		return !safe_read(ret, it->word + 8ull * i, sizeof(*ret));
	*ret = it->word;
	return true;
}

u64 kfunc_iter_bits_new(u64 iter, u64 src, u64 words, u64 r4, u64 r5)
{
	struct iter_bits *it = (void *)iter;
	u64 word;

	*it = (struct iter_bits){0, 0, 0};
	if (!src || !(u32)words)
		return (u64)-EINVAL;
	if ((u32)words > BITS_WORDS_MAX)
		return (u64)-E2BIG;
	for (u32 i = 0; i < (u32)words; i++)
		if (safe_read(&word, src + 8ull * i, sizeof(word)))
			return (u64)-EFAULT;
	*it = (struct iter_bits){(u32)words == 1 ? word : src, (s32)(64 * (u32)words), -1};
	return 0;
}

u64 kfunc_iter_bits_next(u64 iter, u64 r2, u64 r3, u64 r4, u64 r5)
{
	struct iter_bits *it = (void *)iter;
	s32 bit = it->bit + 1;

	while (bit < it->bits) {
		u64 word;

		if (!bits_word(it, (u32)bit / 64, &word))
			break;
		word >>= bit % 64;
		if (word) {
			it->bit = bit + __builtin_ctzll(word);
			return (u64)&it->bit;
		}
		bit = (s32)(((u32)bit | 63) + 1);
	}
	it->bit = it->bits;
	return 0;
}

u64 kfunc_iter_bits_destroy(u64 iter, u64 r2, u64 r3, u64 r4, u64 r5)
{
	*(struct iter_bits *)iter = (struct iter_bits){0, 0, 0};
	return 0;
}
