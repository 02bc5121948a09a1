/* SPDX-License-Identifier: MIT */
/*
 * What the victims of these tests share: commands come as lines on the standard input; each is answered with the true
 * counts of the functions that it called (all of them since the start) and "done".
 *
 * A function that counts itself begins with SCENARIO_IN(name) and comes back through SCENARIO_OUT(name, value).
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

#ifdef __cplusplus
#define SCENARIO_FN __attribute__((noinline, noclone, visibility("default"), used))
#else /* local: the compiler may know which registers they leave alone, and rely on it */
#define SCENARIO_FN static __attribute__((noinline, noclone, used))
#endif
#define SCENARIO_MAX 64

struct scenario_count {
	const char *name;
	uint64_t in, out;
	uint64_t slack; /* by how much the counts may be off: calls left between one counting and the other */
};

static struct scenario_count scenario_counts[SCENARIO_MAX];

static inline void scenario_add(uint64_t *v)
{
	__atomic_fetch_add(v, 1, __ATOMIC_RELAXED);
}

/* The kernel and we refuse functions that begin with a lock prefix. */
#define SCENARIO_IN(number)                                                                        \
	({                                                                                         \
		__asm__ volatile("nop");                                                           \
		scenario_add(&scenario_counts[number].in);                                         \
	})
#define SCENARIO_OUT(number, value)                                                                                    \
	({                                                                                                             \
		__typeof__(value) scenario_v = (value);                                                                \
		scenario_add(&scenario_counts[number].out);                                                            \
		scenario_v;                                                                                            \
	})

struct scenario {
	const char *name;
	void (*run)(uint64_t n);
};

static void scenario_report(void)
{
	for (int i = 0; i < SCENARIO_MAX; i++) {
		const struct scenario_count *c = &scenario_counts[i];

		if (c->name)
			printf("count %s %lu %lu %lu %lu\n", c->name, (unsigned long)(c->in - (c->slack < c->in ? c->slack : c->in)),
			       (unsigned long)(c->in + c->slack),
			       (unsigned long)(c->out - (c->slack < c->out ? c->slack : c->out)),
			       (unsigned long)(c->out + c->slack));
	}
}

/* Reads a byte at a time: nothing is kept in a buffer that a forked child would inherit. */
static bool scenario_line(char *line, size_t n)
{
	size_t at = 0;

	while (at + 1 < n && read(0, line + at, 1) == 1) {
		if (line[at] == '\n') {
			line[at] = '\0';
			return true;
		}
		at++;
	}
	return false;
}

__attribute__((unused)) static int scenario_main(const struct scenario *s)
{
	char line[128], name[64];
	unsigned long n;

	setvbuf(stdout, NULL, _IOFBF, 65536);
	victim_ready();
	while (scenario_line(line, sizeof(line))) {
		const struct scenario *found = s;

		n = 0;
		if (sscanf(line, "%63s %lu", name, &n) < 1)
			continue;
		while (found->name && strcmp(found->name, name))
			found++;
		if (!found->name)
			victim_wrong("no scenario '%s'", name);
		found->run(n);
		scenario_report();
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
