/* SPDX-License-Identifier: MIT */
/*
 * Times the execution engine from a loader's point of view, a sample of each row. Started as it is it measures the
 * kernel, under `notrap run` notrap; bench/engine.c lets the two take turns.
 *
 *   engine_loader [PREFIX]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "engine.skel.h"

double engine_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

bool engine_wants(const char *prefix, const char *row)
{
	return !strncmp(row, prefix, strlen(prefix));
}

int main(int argc, char **argv)
{
	const char *prefix = argc > 1 ? argv[1] : "";
	struct engine_bpf *s;

	if (argc == 3 && !strcmp(prefix, "produce"))
		engine_produce(atoi(argv[2]));
	s = engine_bpf__open_and_load();
	if (!s)
		return 1;
	engine_programs(s, prefix);
	engine_elements(s, prefix);
	engine_loading(prefix);
	engine_rings(s, prefix);
	engine_bpf__destroy(s);
	return 0;
}
