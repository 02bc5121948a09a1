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

#pragma GCC visibility push(hidden)
void dynptr_set(struct dynptr *d, void *data, u32 size);
#pragma GCC visibility pop
