/* SPDX-License-Identifier: MIT */
/* LPM trie, queue, stack, bloom filter, stack traces, perf buffer. */
#include "maps_step.h"

#include "abi/output.h"

struct prefix {
	u32 len;
	u8 ip[4];
};

static void fill_lpm(struct nt_map_view *v, const struct nt_caller *c)
{
	for (u32 i = 0; i < 4; i++) {
		struct prefix k = {8 * (i + 1), {10, 1, 2, 3}};

		map_update(v, c, &k, value_of(i), BPF_ANY);
	}
}

static void op_lpm(struct nt_map_view *v, const struct nt_caller *c)
{
	struct prefix k = {20, {10, 1, 2, 3}};

	map_update(v, c, &k, value_of(20), BPF_ANY);
	map_delete(v, c, &k);
}

static u32 bad_lpm(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 bad = 0;

	for (u32 i = 0; i < 4; i++) {
		struct prefix k = {8 * (i + 1), {10, 1, 2, 3}};
		const u64 *p = map_lookup(v, c, &k);

		bad += !p || !is_value_of(p, i);
	}
	op_lpm(v, c);
	return bad;
}

static void fill_queue(struct nt_map_view *v, const struct nt_caller *c)
{
	for (u64 i = 0; i < 3; i++)
		map_push(v, c, value_of(i), 0);
}

static void op_push(struct nt_map_view *v, const struct nt_caller *c)
{
	map_push(v, c, value_of(3), 0);
}

static void op_overwrite(struct nt_map_view *v, const struct nt_caller *c)
{
	op_push(v, c);
	map_push(v, c, value_of(4), BPF_EXIST);
}

static void op_pop(struct nt_map_view *v, const struct nt_caller *c)
{
	u64 got[4];

	map_pop(v, c, got);
}

/* What is in it is a run of numbers, at least the three minus one popped. */
static u32 bad_queue(struct nt_map_view *v, const struct nt_caller *c)
{
	u64 got[4], last = 0;
	s64 step = v->type == BPF_MAP_TYPE_QUEUE ? 1 : -1;
	u32 bad = 0, n;

	for (n = 0; n < 10 && !map_pop(v, c, got); n++) {
		bad += !is_value_of(got, got[0] / 1000) || (n && got[0] / 1000 != last + (u64)step);
		last = got[0] / 1000;
	}
	bad += n < 2 || n > 4;
	bad += map_push(v, c, value_of(9), 0) != 0 || map_pop(v, c, got) != 0 || !is_value_of(got, 9);
	return bad;
}

static void fill_stacks(struct nt_map_view *v, const struct nt_caller *c)
{
	for (u64 i = 0; i < 3; i++)
		stack_trace_put(v, c, value_of(i), 4, BPF_F_REUSE_STACKID);
}

static void op_stack(struct nt_map_view *v, const struct nt_caller *c)
{
	stack_trace_put(v, c, value_of(50), 4, BPF_F_REUSE_STACKID);
	stack_trace_put(v, c, value_of(0), 3, BPF_F_REUSE_STACKID);
}

static u32 bad_stacks(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 bad = 0, n = 0, key;
	u64 got[4];

	for (int r = map_next_key(v, NULL, &key); !r && n < 10; r = map_next_key(v, &key, &key), n++) {
		bad += map_sys_lookup(v, c, &key, got) != 0;
		bad += got[0] % 1000 || got[1] != got[0] + 1 || (got[3] && got[3] != got[0] + 3);
	}
	bad += n < 2;
	bad += stack_trace_put(v, c, value_of(70), 4, BPF_F_REUSE_STACKID) < 0;
	return bad;
}

static void fill_output(struct nt_map_view *v, const struct nt_caller *c)
{
	struct nt_out_ctl *ctl = (void *)(v->outputs + NT_PAGE), *wake;

	*map_slot(v, 0) = 1;
	ctl->ring = 2;
	ctl->wake_events = 1;
	for (u32 i = 0; i < 3; i++)
		output_event(v, c, value_of(i), 28, 0, &wake);
}

static void op_output(struct nt_map_view *v, const struct nt_caller *c)
{
	struct nt_out_ctl *wake;

	output_event(v, c, value_of(3), 28, 0, &wake);
}

/* Records are whole, three or four of them. */
static u32 bad_output(struct nt_map_view *v, const struct nt_caller *c)
{
	const u8 *page = v->outputs + 2 * NT_PAGE;
	const u64 *head = (const u64 *)(const void *)(page + NT_OUT_HEAD_OFF);
	u32 bad = *head % 40 || *head < 120 || *head > 160;

	op_output(v, c);
	bad += *head % 40 || *head < 160 || *head > 200;
	for (u64 at = 0; at < *head && !bad; at += 40) {
		const u32 *rec = (const u32 *)(const void *)(page + NT_PAGE + at);
		u64 got[4] = {0};

		memcpy(got, rec + 3, 28);
		bad += rec[0] != 9 || rec[1] >> 16 != 40 || rec[2] != 28 || got[1] != got[0] + 1;
	}
	return bad;
}

static void fill_bloom(struct nt_map_view *v, const struct nt_caller *c)
{
	for (u64 i = 0; i < 6; i++)
		map_push(v, c, value_of(i), 0);
}

static void op_bloom(struct nt_map_view *v, const struct nt_caller *c)
{
	map_push(v, c, value_of(100), 0);
}

static u32 bad_bloom(struct nt_map_view *v, const struct nt_caller *c)
{
	u64 value[4];
	u32 bad = 0;

	for (u64 i = 0; i < 6; i++) {
		memcpy(value, value_of(i), sizeof(value));
		bad += map_peek(v, c, value) != 0;
	}
	bad += map_push(v, c, value_of(200), 0) != 0;
	memcpy(value, value_of(200), sizeof(value));
	return bad + (map_peek(v, c, value) != 0);
}

const struct scene scenes_lists[] = {
    {"LPM trie: insert and delete", BPF_MAP_TYPE_LPM_TRIE, 8, 32, 64, BPF_F_NO_PREALLOC, fill_lpm, op_lpm, bad_lpm},
    {"queue: push", BPF_MAP_TYPE_QUEUE, 0, 32, 4, 0, fill_queue, op_push, bad_queue},
    {"queue: overwrite the oldest", BPF_MAP_TYPE_QUEUE, 0, 32, 4, 0, fill_queue, op_overwrite, bad_queue},
    {"queue: pop", BPF_MAP_TYPE_QUEUE, 0, 32, 4, 0, fill_queue, op_pop, bad_queue},
    {"stack: push", BPF_MAP_TYPE_STACK, 0, 32, 4, 0, fill_queue, op_push, bad_queue},
    {"stack: overwrite the oldest", BPF_MAP_TYPE_STACK, 0, 32, 4, 0, fill_queue, op_overwrite, bad_queue},
    {"stack: pop", BPF_MAP_TYPE_STACK, 0, 32, 4, 0, fill_queue, op_pop, bad_queue},
    {"stack trace: put", BPF_MAP_TYPE_STACK_TRACE, 4, 32, 1u << 16, 0, fill_stacks, op_stack, bad_stacks},
    {"perf buffer: output", BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1, 0, fill_output, op_output, bad_output},
    {"bloom filter: push", BPF_MAP_TYPE_BLOOM_FILTER, 0, 32, 64, 0, fill_bloom, op_bloom, bad_bloom},
    {0},
};
