/* SPDX-License-Identifier: MIT */
/* Reading memory that may not be there. */
#pragma once

#include "payload/payload.h"

struct safe_range { /* as struct iovec */
	u64 addr, len;
};

#pragma GCC visibility push(hidden)
/* n bytes from src. 0, or -EFAULT: dst is then undefined. Any page that the kernel can make present
 * is readable. */
int safe_read(void *dst, u64 src, u32 n);

/* A string of at most n - 1 bytes and its NUL, which is always written; bytes behind it are not
 * touched. Returns the bytes written, NUL included; n for a string that was cut; 0 for n = 0;
 * -EFAULT: dst is undefined. dst NULL: counts. */
s64 safe_read_str(char *dst, u64 src, u32 n);

/* process_vm_readv(2) on this process: bytes read up to the first range that is not readable, or
 * -errno. */
s64 safe_read_ranges(void *dst, const struct safe_range *src, u32 n);
#pragma GCC visibility pop
