/* SPDX-License-Identifier: MIT */
#pragma once

#include "payload/payload.h"

struct dynptr { /* 16 bytes, as struct bpf_dynptr */
	u64 data; /* address, 0 = none */
	u32 size; /* bytes in the lower 24 bits, DYNPTR_* */
	u32 offset;
};
_Static_assert(sizeof(struct dynptr) == 16, "what programs have room for");
#define DYNPTR_RDONLY (1u << 31)
#define DYNPTR_SIZE_MASK 0xffffffu

#pragma GCC visibility push(hidden)
void dynptr_set(struct dynptr *d, void *data, u32 size);
/* Address of [off, off + len) of it, NULL = not all of it is there. */
u8 *dynptr_at(const struct dynptr *d, u64 off, u64 len);
#pragma GCC visibility pop
