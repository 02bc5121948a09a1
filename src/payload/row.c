/* SPDX-License-Identifier: MIT */
/*
 * The table of threads: open addressing, linear probing, one cache line per thread. Rows are only
 * ever added, by one compare-and-swap of a zero key, so a look-up needs no lock and a row once
 * found stays this thread's. A signal handler or another thread that takes the row we were about to
 * take is seen as the swap failing.
 *
 * Thread pointers of dead threads stay in the table until a new thread gets the same one; the
 * number of steps is therefore bounded, so that a table that filled up over the days costs little
 * more than an empty one.
 */
#include "payload/row.h"

#include "base/atomic.h"
#include "base/bits.h"
#include "payload/clock.h"
#include "payload/thread.h"

#define ROW_BITS_MAX 24u
#define STEPS_MAX 256u

struct nt_row *row_find_or_add(void)
{
	struct nt_row *rows = (void *)nt_state.rows;
	u32 bits = nt_state.row_bits;
	u64 fs = thread_pointer();
	u64 mask, at;

	if (!rows || !fs || !bits || bits > ROW_BITS_MAX)
		return NULL;
	mask = (1ull << bits) - 1;
	at = fs * NT_ROW_HASH_MUL >> (64 - bits);
	for (u32 step = 0; step <= mask && step < STEPS_MAX; step++, at = (at + 1) & mask) {
		struct nt_row *row = &rows[at];
		u64 seen = at_load(&row->fs);

		if (seen == fs || (!seen && at_cas(&row->fs, &seen, fs)) || seen == fs)
			return row;
	}
	return NULL;
}

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (2014): a counter and a mixing
 * function. */
static u64 mix(u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

u64 row_random(struct nt_row *row)
{
	if (!row)
		return mix(clock_ns(CLOCK_ID_MONOTONIC) ^ (u64)__builtin_frame_address(0));
	if (!row->seed)
		row->seed = mix(clock_ns(CLOCK_ID_MONOTONIC) ^ (u64)row ^ row->fs);
	row->seed += NT_ROW_HASH_MUL;
	return mix(row->seed);
}
