/* SPDX-License-Identifier: MIT */
/*
 * SIGKILL at every instruction of an operation: a child is stepped through it and killed after 0, 1, 2 ... steps, each
 * time with a fresh map; of long operations a random part of the instructions unless NT_SOAK is set. Whatever it had done by then, all other entries are as they were, and the next caller is
 * served at once.
 */
#include <errno.h>
#include <sys/ptrace.h>

#include "maps_step.h"
#include "tap.h"
#include "torture.h"

#define STEPS_MAX 3000u

/* --- stepping --- */

static volatile u32 *stage; /* 1: the child is in the operation, 2: it is through */

static struct nt_map_view scene_map(const struct scene *s)
{
	bool percpu = s->type == BPF_MAP_TYPE_PERCPU_ARRAY || s->type == BPF_MAP_TYPE_PERCPU_HASH ||
		      s->type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
	struct nt_map_view v = mapfile_new(s->type, s->key, s->value, s->max, s->flags, percpu ? 2 : 1);

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

	for (steps = 0; !through && steps < STEPS_MAX; steps += all ? 1 : 1 + mapfile_rand(rnd) % (1 + steps / 8)) {
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
	/* Who finds a hash full asks whether somebody is just giving an element back, for 0.3 s at most. */
	tap_ok(slowest < 3000, "%s: and nobody waits (%lu ms)", s->name, slowest);
}

int main(int argc, char **argv)
{
	const struct scene *const all[] = {scenes_keys, scenes_lists, scenes_rings};
	u64 rnd = torture_start(argc, argv, 0).seed;

	stage = torture_shared(NT_PAGE);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (const struct scene *s = all[i]; s->name; s++)
			run(s, &rnd);
	return tap_done();
}
