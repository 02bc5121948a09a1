/* SPDX-License-Identifier: MIT */
/* mmap(2) of a filtered process (notify.h): what the kernel would do with our descriptors is not always right. */
#pragma once

#include "abi/types.h"

struct call;

/* Is this a perf buffer, which is mapped by a borrowed thread of the caller? Then the caller must have been let go
 * (release.h) before notify_mmap(). */
bool notify_mmap_borrows(struct call *k, const u64 a[6]);
/* The address, a refusal, or k->native: the kernel does it right. -EBUSY: no thread of the caller can be borrowed. */
s64 notify_mmap(struct call *k, const u64 a[6]);
