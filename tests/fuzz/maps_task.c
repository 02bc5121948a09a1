/* SPDX-License-Identifier: MIT */
/*
 * Hostile memory, task storage: links, heads, keys and counters of the hash inside are overwritten between operations.
 * Any answer will do; a value outside the file, an access outside it (guard areas on both sides) or an endless loop
 * will not.
 */
#include <stdint.h>
#include <stdlib.h>

#include "input.h"
#include "mapfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool some_are_dead(u32 tid, void *arg)
{
	return tid % 3 == 0;
}

/* A few elements are in use: heads, the pool's words and the first elements are what counts. */
static void scribble(struct nt_map_view *v, u64 how, u64 what)
{
	static const u64 words[] = {0, 1, 2, ~0ull, 1ull << 63, (1ull << 63) | 1, UINT32_MAX, 1ull << 32};
	u64 *file = (u64 *)(void *)v->base, n = v->size / 8, where = how >> 4;

	switch (how % 4) {
	case 0: where %= n; break;
	case 1: where = (v->data_off + where % 32 * v->elem_size) / 8 + (how >> 12) % (v->elem_size / 8); break;
	case 2: where %= 64; break;
	default: where = v->data_off / 8 - 1 - where % (v->data_off / 8);
	}
	file[where] = how & 8 ? words[what % 8] : how & 4 ? what % 100 : what;
}

static void check_value(struct nt_map_view *v, u8 *value)
{
	if (!value)
		return;
	if (value < v->base || value + v->value_size > v->base + v->size)
		abort();
	memset(value, 0xee, v->value_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const u32 values[] = {1, 8, 16, 40};
	struct input in = {data, size};
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_TASK_STORAGE, 4, values[input_take(&in, 1) % 4], 0, BPF_F_NO_PREALLOC, 1);
	u8 value[64] = {0};

	while (in.left) {
		u64 op = input_take(&in, 1), arg = input_take(&in, 4);
		struct nt_caller c = {.tid = 1, .cpu = (u32)arg >> 30, .flags = NT_CALLER_NO_SYSCALL};
		struct nt_task t = {.ns = op >> 7, .tid = (u32)arg % 29};

		memcpy(value, &arg, sizeof(arg));
		switch (op % 8) {
		case 0:
		case 1: check_value(&v, map_task_get(&v, &c, &t, op & 0x40, op & 0x20 ? value : NULL)); break;
		case 2: map_task_delete(&v, &c, &t); break;
		case 3: map_task_lookup(&v, &t, value); break;
		case 4: map_task_update(&v, &c, &t, value, arg >> 28); break;
		case 5:
			if (op & 0x40)
				map_task_reap(&v, &c, t.ns, some_are_dead, NULL);
			break;
		default: scribble(&v, arg, input_take(&in, 8));
		}
	}
	mapfile_free(&v);
	return 0;
}
