/* SPDX-License-Identifier: MIT */
/*
 * Hostile memory, ring buffer: positions, headers and the lock are overwritten between operations.
 * Records must lie inside the data area whatever the positions say: each one is filled completely,
 * and a guard area follows the file.
 */
#include <stdint.h>
#include <stdlib.h>

#include "input.h"
#include "mapfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool some_are_dead(u32 tid, void *arg)
{
	return tid % 2;
}

static void check_record(struct nt_map_view *v, u8 *record, u64 size)
{
	u8 *data = v->base + v->data_off;

	if (record < data + 8 || record + size > data + 2 * (u64)v->max_entries)
		abort();
	memset(record, 0xee, size);
}

static void scribble(struct nt_map_view *v, u64 how, u64 what)
{
	u64 *words[] = {(u64 *)(void *)v->base, (u64 *)(void *)(v->base + NT_PAGE)};
	struct nt_ring_ctl *ctl = (struct nt_ring_ctl *)(void *)(v->base + v->ctl_off);
	u64 off = v->data_off + (how >> 3) * 8 % (2 * (u64)v->max_entries);

	switch (how % 8) {
	case 0:
	case 1: *words[how % 2] = what; break;
	case 2:
	case 3: *words[how % 2] += (what & 0xffff) - 0x8000; break;
	case 4: *words[0] = *words[1]; break;
	case 5: { /* lock and note together, or waiting for a living owner takes its second (see the
		     unit test) */
		static const u32 owners[] = {0, 1, 77, 0xffffffffu};

		ctl->lock.owner = owners[what % 4];
		ctl->lock.stuck = owners[what % 4];
		break;
	}
	default: *(u64 *)(void *)(v->base + off) = what;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct nt_map_view v =
	    mapfile_new(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096u << input_take(&in, 1) % 3, 0, 1);
	struct nt_caller c = {.tid = 77};
	u8 *held[4] = {NULL};
	bool wake;

	while (in.left) {
		u64 op = input_take(&in, 1), arg = input_take(&in, 4), slot = op >> 6;

		c.flags = op & 0x20 ? NT_CALLER_NO_SYSCALL : 0;
		switch (op % 8) {
		case 0:
		case 1:
			held[slot] = ring_reserve(&v, &c, arg % (2 * v.max_entries));
			if (held[slot])
				check_record(&v, held[slot], arg % (2 * v.max_entries));
			break;
		case 2:
			if (held[slot])
				ring_submit(&v, held[slot], arg % 4, op & 16);
			break;
		case 3: ring_output(&v, &c, "0123456789abcdef", arg % 17, arg >> 30, &wake); break;
		case 4:
			ring_query(&v, arg % 5);
			ring_submit(&v, v.base + arg % v.size, 0, false);
			break;
		case 5: ring_reap(&v, some_are_dead, NULL); break;
		default: scribble(&v, arg, input_take(&in, 8));
		}
	}
	mapfile_free(&v);
	return 0;
}
