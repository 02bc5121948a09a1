/* SPDX-License-Identifier: MIT */
/* One run of the benchmark: who takes part, what is asked for, where results go. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "child.h"
#include "results.h"

struct bench {
	char *victim, *loader, *engine, *compile, *llvm, *object, *notrap; /* paths of programs */
	const char *prefix;		/* of the cases that are asked for */
	const char *log;		/* gets the stderr of all programs */
	int rounds;
	bool takes_part[CONTENDERS];
	uint64_t calm;	      /* ns, the fastest "calm" that a victim said; 0 = none yet */
	unsigned int windows;
	unsigned int restless; /* had a neighbour, however often they were repeated */
	struct results results;
};

bool bench_wants(const struct bench *b, const char *name);

/* Starts the victim; the loader (for c = NOTRAP under `notrap run`) pointed at it, loaded but not
 * attached yet. */
int bench_victim(const struct bench *b, struct child *ret);
int bench_loader(const struct bench *b, enum contender c, const char *program, const char *manner,
		 pid_t pid, const char *pattern, unsigned int max, struct child *ret);

void bench_hits(struct bench *b);      /* hit.c */
void bench_attaching(struct bench *b); /* attach.c */
void bench_engine(struct bench *b);    /* engine.c */
