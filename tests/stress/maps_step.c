/* SPDX-License-Identifier: MIT */
/*
 * SIGKILL at every instruction of an operation: a child is stepped through it and killed after 0, 1, 2 ... steps, each
 * time with a fresh map; of long operations a random part of the instructions unless NT_SOAK is set. Whatever it had done by then, all other entries are as they were, and the next caller is
 * served at once.
 */
#include <errno.h>
#include <sys/ptrace.h>

#include "abi/output.h"
#include "mapfile.h"
#include "tap.h"
#include "torture.h"

#define STEPS_MAX 3000u

struct scene {
	const char *name;
	u32 type, key, value, max, flags;
	void (*fill)(struct nt_map_view *v, const struct nt_caller *c);
	void (*op)(struct nt_map_view *v, const struct nt_caller *c);
	u32 (*bad)(struct nt_map_view *v, const struct nt_caller *c); /* what is wrong afterwards */
};

/* --- what is done, and what must be left --- */

static u64 big[4];

static u64 *value_of(u64 n)
{
	for (u32 i = 0; i < 4; i++)
		big[i] = n * 1000 + i;
	return big;
}

static bool is_value_of(const u64 *p, u64 n)
{
	return p[0] == n * 1000 && p[1] == n * 1000 + 1 && p[3] == n * 1000 + 3;
}

static void fill_keys(struct nt_map_view *v, const struct nt_caller *c)
{
	for (u32 key = 0; key < 6; key++)
		map_update(v, c, &key, value_of(key), BPF_ANY);
}

static void op_insert(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 key = 100;

	map_update(v, c, &key, value_of(100), BPF_ANY);
}

static u32 bad_keys(struct nt_map_view *v, const struct nt_caller *c)
{
	u32 bad = 0, there = 0;

	for (u32 key = 0; key < 6; key++) {
		const u64 *p = map_lookup(v, c, &key);

		there += p != NULL;
		bad += p && !is_value_of(p, key);
	}
	bad += there < 5; /* one may have been thrown out to make room */
	for (u32 key = 200; key < 206; key++) {
		const u64 *p;

		bad += map_update(v, c, &key, value_of(key), BPF_ANY) != 0;
		p = map_lookup(v, c, &key);
		bad += !p || !is_value_of(p, key);
	}
	return bad;
}

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

static const struct scene scenes[] = {
    {"LRU hash: insert into a full one", BPF_MAP_TYPE_LRU_HASH, 4, 32, 6, 0, fill_keys, op_insert, bad_keys},
    {"LPM trie: insert and delete", BPF_MAP_TYPE_LPM_TRIE, 8, 32, 64, BPF_F_NO_PREALLOC, fill_lpm, op_lpm, bad_lpm},
    {"queue: push", BPF_MAP_TYPE_QUEUE, 0, 32, 4, 0, fill_queue, op_push, bad_queue},
    {"queue: overwrite the oldest", BPF_MAP_TYPE_QUEUE, 0, 32, 4, 0, fill_queue, op_overwrite, bad_queue},
    {"queue: pop", BPF_MAP_TYPE_QUEUE, 0, 32, 4, 0, fill_queue, op_pop, bad_queue},
    {"stack: overwrite the oldest", BPF_MAP_TYPE_STACK, 0, 32, 4, 0, fill_queue, op_overwrite, bad_queue},
    {"stack: pop", BPF_MAP_TYPE_STACK, 0, 32, 4, 0, fill_queue, op_pop, bad_queue},
    {"stack trace: put", BPF_MAP_TYPE_STACK_TRACE, 4, 32, 1u << 16, 0, fill_stacks, op_stack, bad_stacks},
    {"perf buffer: output", BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1, 0, fill_output, op_output, bad_output},
};

/* --- stepping --- */

static volatile u32 *stage; /* 1: the child is in the operation, 2: it is through */

static struct nt_map_view scene_map(const struct scene *s)
{
	struct nt_map_view v = mapfile_new(s->type, s->key, s->value, s->max, s->flags, 1);

	if (s->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		v.outputs = torture_shared(8 * NT_PAGE);
	return v;
}

/* Kills a child after that many steps of the operation. True: it was through before. */
static bool kill_after(const struct scene *s, struct nt_map_view *v, u32 steps)
{
	pid_t pid;
	int st;

	*stage = 0;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct nt_caller c = mapfile_caller(0);

		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		*stage = 1;
		s->op(v, &c);
		*stage = 2;
		for (;;)
			pause();
	}
	waitpid(pid, &st, 0);
	while (*stage == 0 || (*stage == 1 && steps)) {
		steps -= *stage == 1;
		if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) || waitpid(pid, &st, 0) != pid)
			break;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &st, 0);
	return *stage == 2;
}

static void run(const struct scene *s, u64 *rnd)
{
	bool all = getenv("NT_SOAK");
	struct nt_caller c = mapfile_caller(0);
	u32 bad = 0, steps;
	u64 slowest = 0;
	bool through = false;

	for (steps = 0; !through && steps < STEPS_MAX; steps += all ? 1 : 1 + mapfile_rand(rnd) % (1 + steps / 16)) {
		struct nt_map_view v = scene_map(s);
		u64 from;
		u32 wrong;

		s->fill(&v, &c);
		through = kill_after(s, &v, steps);
		from = torture_now_ms();
		wrong = s->bad(&v, &c);
		if (wrong && bad < 5)
			printf("# killed after %u steps: %u wrong\n", steps, wrong);
		bad += wrong;
		if (torture_now_ms() - from > slowest)
			slowest = torture_now_ms() - from;
		if (v.outputs)
			munmap(v.outputs, 8 * NT_PAGE);
		mapfile_free(&v);
	}
	tap_ok(through && steps > 20, "%s: %u instructions", s->name, steps);
	tap_eq(bad, 0, "%s: killed at each, nothing else is lost", s->name);
	tap_ok(slowest < 500, "%s: and nobody waits (%lu ms)", s->name, slowest);
}

int main(int argc, char **argv)
{
	u64 rnd = torture_start(argc, argv, 0).seed;

	stage = torture_shared(NT_PAGE);
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++)
		run(&scenes[i], &rnd);
	return tap_done();
}
