/* SPDX-License-Identifier: MIT */
/*
 * Hostile memory: operations on maps whose shared file somebody scribbles over. Any answer will do;
 * an access outside the file (guard areas on both sides) or an endless loop will not.
 *
 * Input: 4 bytes of geometry, then operations of 1 + 4 bytes; see run().
 */
#include <stdint.h>

#include "input.h"
#include "mapfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes one word; most often where links, counters and list heads are. */
static void scribble(struct nt_map_view *v, u32 how, u32 what)
{
	static const u64 words[] = {
	    0, 1, 2, ~0ull, 1ull << 63, (1ull << 63) | 1, 0xffffffffull, 1ull << 32};
	u64 *file = (u64 *)(void *)v->base, n = v->size / 8;
	u64 where = how & 1 ? (v->data_off + (u64)(how >> 3) % v->max_entries * v->elem_size) / 8
			    : how >> 3;
	u64 word = how & 2 ? words[what % 8] : how & 4 ? what % (v->max_entries + 300) : what;

	file[where % n] = word;
	if (how & 0x100 && v->elem_size)
		file[where % n] = (u64)what << 32 | (word & 0xff);
}

static void run(struct nt_map_view *v, struct input *in)
{
	u8 key[64] = {0}, next[64], *value = calloc(1, 4096);
	struct nt_caller c = {.tid = 1, .flags = NT_CALLER_NO_SYSCALL};
	u8 *p;

	if (!value)
		return;
	while (in->left) {
		u32 op = (u32)input_take(in, 1), arg = (u32)input_take(in, 4);

		c.cpu = arg >> 24;
		memcpy(key, &(u32){arg % 61}, 4);
		memcpy(value, &arg, sizeof(arg));
		switch (op % 12) {
		case 0:
			p = map_lookup(v, &c, key);
			if (p)
				p[0]++;
			break;
		case 1:
		case 2: map_update(v, &c, key, value, op >> 6); break;
		case 3: map_delete(v, &c, key); break;
		case 4: map_sys_lookup(v, &c, key, value); break;
		case 5: map_sys_update(v, &c, key, value, op >> 6); break;
		case 6: map_sys_lookup_and_delete(v, &c, key, value); break;
		case 7: map_next_key(v, op & 0x80 ? NULL : key, next); break;
		case 9:
			map_push(v, &c, value, op >> 6);
			map_pop(v, &c, value);
			map_peek(v, &c, value);
			if (v->type == BPF_MAP_TYPE_STACK_TRACE)
				stack_trace_put(v, &c, (u64 *)(void *)value, arg % 7, (u64)(op >> 6) << 9);
			break;
		case 8:
			for (u32 i = 0; i < 16; i++, key[0] += 7)
				map_update(v, &c, key, value, BPF_ANY);
			break;
		default: scribble(v, arg, (u32)input_take(in, 4));
		}
	}
	free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const u32 types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_HASH,
				    BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_LRU_HASH,
				    BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_LPM_TRIE, BPF_MAP_TYPE_QUEUE,
				    BPF_MAP_TYPE_STACK, BPF_MAP_TYPE_BLOOM_FILTER, BPF_MAP_TYPE_STACK_TRACE};
	static const u32 keys[] = {4, 8, 5, 16, 24, 32}, values[] = {4, 8, 1, 16, 40, 100};
	struct input in = {data, size};
	u32 type = types[input_take(&in, 1) % 12], key = keys[input_take(&in, 1) % 6],
	    value = values[input_take(&in, 1) % 6];
	u32 max = 1 + (u32)input_take(&in, 1) % 64;
	struct nt_map_view v;

	switch (type) {
	case BPF_MAP_TYPE_STACK_TRACE: value = 40; /* fall through */
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY: key = 4; break;
	case BPF_MAP_TYPE_LPM_TRIE: key += key < 5; break;
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK:
	case BPF_MAP_TYPE_BLOOM_FILTER: key = 0; break;
	}
	v = mapfile_new(type, key, value, max, type == BPF_MAP_TYPE_LPM_TRIE ? BPF_F_NO_PREALLOC : 0, 1 + max % 4);
	run(&v, &in);
	mapfile_free(&v);
	return 0;
}
