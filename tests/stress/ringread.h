/* SPDX-License-Identifier: MIT */
/* A consumer as libbpf is one: knows the kernel's layout and nothing of ours. */
#pragma once

#include "mapfile.h"

/* Hands every finished record to see(); stops at a busy one. Returns the number of records passed,
 * -1 if the ring is inconsistent. */
__attribute__((unused)) static long ringread(const struct nt_map_view *v,
					     void (*see)(void *arg, u8 *data, u32 len), void *arg)
{
	u64 *cons = (u64 *)(void *)v->base, *prod = (u64 *)(void *)(v->base + NT_PAGE);
	u64 pos = *cons, mask = v->max_entries - 1;
	long n = 0;

	for (;;) {
		u64 end = __atomic_load_n(prod, __ATOMIC_ACQUIRE);

		if (pos >= end)
			return n;
		while (pos < end) {
			u8 *hdr = v->base + v->data_off + (pos & mask);
			u32 len = __atomic_load_n((u32 *)(void *)hdr, __ATOMIC_ACQUIRE);
			u32 size = len & ~(NT_RING_BUSY | NT_RING_DISCARD);

			if (len & NT_RING_BUSY)
				return n;
			if (size > v->max_entries || pos + size > end)
				return -1;
			if (!(len & NT_RING_DISCARD))
				see(arg, hdr + 8, size);
			pos += (size + 8 + 7) / 8 * 8;
			__atomic_store_n(cons, pos, __ATOMIC_RELEASE);
			n++;
		}
	}
}
