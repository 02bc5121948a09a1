/* SPDX-License-Identifier: MIT */
/*
 * Hostile memory: perf buffers whose array, control pages and rings somebody scribbles over. Any answer will do; an
 * access outside the arena (guard areas on both sides) or an endless loop will not.
 *
 * Input: operations of 1 + 8 bytes.
 */
#include <stdint.h>

#include "abi/output.h"
#include "mapfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u8 *arena_new(void)
{
	u8 *area = mmap(NULL, NT_OUT_ARENA_SIZE + 2 * MAPFILE_GUARD, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED ||
	    mprotect(area + MAPFILE_GUARD, NT_OUT_ARENA_SIZE, PROT_READ | PROT_WRITE))
		exit(2);
	return area + MAPFILE_GUARD;
}

/* Pages that matter, the last of the arena among them. */
static u32 some_page(u32 n)
{
	static const u32 pages[] = {0, 1, 2, 3, NT_OUT_ARENA_PAGES - 2, NT_OUT_ARENA_PAGES - 1, NT_OUT_ARENA_PAGES,
				    0xffffffffu};

	return pages[n % 8];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static u8 text[70000];
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4, 0, 1);
	struct nt_caller c = {.tid = 1, .flags = NT_CALLER_NO_SYSCALL};
	struct nt_out_ctl *wake = NULL;

	v.outputs = arena_new();
	for (; size >= 9; data += 9, size -= 9) {
		struct nt_out_ctl *ctl = (void *)(v.outputs + (u64)(some_page(data[1]) % NT_OUT_ARENA_PAGES) * NT_PAGE);
		u64 word;

		memcpy(&word, data + 1, sizeof(word));
		switch (data[0] % 8) {
		case 0: *map_slot(&v, data[2] % 4) = some_page(data[3]); break;
		case 1:
			ctl->ring = some_page(data[3]);
			ctl->order = data[4] % 20;
			break;
		case 2: ctl->head = data[3] & 1 ? word : word % 8192; break;
		case 3: ctl->lost = data[3] % 3; break;
		case 4: ((u64 *)(void *)ctl)[data[3] % 128 + 120 * (data[4] & 1)] = word; break;
		default:
			ctl->lock.owner = 0;
			output_event(&v, &c, text, data[0] & 8 ? word % 300 : word % sizeof(text), data[2] % 5, &wake);
		}
		for (u32 i = 0; i < 8; i++) /* nobody waits for what the input locked */
			if (some_page(i) < NT_OUT_ARENA_PAGES)
				((struct nt_out_ctl *)(void *)(v.outputs + (u64)some_page(i) * NT_PAGE))->lock.owner = 0;
	}
	munmap(v.outputs - MAPFILE_GUARD, NT_OUT_ARENA_SIZE + 2 * MAPFILE_GUARD);
	mapfile_free(&v);
	return 0;
}
