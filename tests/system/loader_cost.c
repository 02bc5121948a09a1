/* SPDX-License-Identifier: MIT */
/*
 * What a loader pays, in nanoseconds: "NAME NS" per line, the best of many short rounds, so that what else the machine does
 * is left out.
 *
 *     loader_cost                  for each map operation
 *     loader_cost start COMMAND    to run a command that ends at once
 */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "loader_calls.h"

#define ROUNDS 100 /* so short that nobody comes in between, in one of them at least */
#define CALLS 20
#define STARTS 30

struct cost_case {
	const char *name;
	int cmd;
	unsigned int map_type;
};

static const struct cost_case cases[] = {
    {"array-lookup", BPF_MAP_LOOKUP_ELEM, BPF_MAP_TYPE_ARRAY},
    {"array-update", BPF_MAP_UPDATE_ELEM, BPF_MAP_TYPE_ARRAY},
    {"hash-lookup", BPF_MAP_LOOKUP_ELEM, BPF_MAP_TYPE_HASH},
    {"hash-update", BPF_MAP_UPDATE_ELEM, BPF_MAP_TYPE_HASH},
    {"hash-next-key", BPF_MAP_GET_NEXT_KEY, BPF_MAP_TYPE_HASH},
    {"percpu-lookup", BPF_MAP_LOOKUP_ELEM, BPF_MAP_TYPE_PERCPU_ARRAY},
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cost(const struct cost_case *c)
{
	static uint64_t value[1024]; /* of every possible CPU */
	long fd = call_map_create(c->map_type, 4, 8, 64, 0, "cost");
	uint32_t key = 0;
	uint64_t best = UINT64_MAX;

	if (fd < 0)
		exit(1);
	for (key = 0; key < 32; key++)
		if (call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, value, 0))
			exit(1);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begin = now_ns(), ns;

		for (int n = 0; n < CALLS; n++) {
			key = (uint32_t)n % 16;
			if (call_elem(c->cmd, fd, &key, value, 0) && c->cmd != BPF_MAP_GET_NEXT_KEY)
				exit(1);
		}
		ns = now_ns() - begin;
		if (ns < best)
			best = ns;
	}
	close((int)fd);
	return (double)best / CALLS;
}

extern char **environ;

static int start(char **command)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < STARTS; i++) {
		uint64_t begin = now_ns(), ns;
		int status;
		pid_t pid;

		if (posix_spawnp(&pid, command[0], NULL, NULL, command, environ) || waitpid(pid, &status, 0) < 0 || status)
			return 1;
		ns = now_ns() - begin;
		if (ns < best)
			best = ns;
	}
	printf("start %llu\n", (unsigned long long)best);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "start"))
		return start(argv + 2);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		printf("%s %.0f\n", cases[i].name, cost(&cases[i]));
	return 0;
}
