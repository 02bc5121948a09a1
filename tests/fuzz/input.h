/* SPDX-License-Identifier: MIT */
/* A fuzzer's input as a row of numbers. Header only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi/types.h"

struct input {
	const uint8_t *p;
	size_t left;
};

/* Little endian; what is not there any more is 0. */
static inline u64 input_take(struct input *in, u32 bytes)
{
	u64 v = 0;

	for (u32 i = 0; i < bytes && in->left; i++, in->left--)
		v |= (u64)*in->p++ << (8 * i);
	return v;
}
