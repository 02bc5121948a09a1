/* SPDX-License-Identifier: MIT */
/* What engine.bpf.c and the engine's loader share. */
#pragma once

#define ROUNDS 256

#ifndef __bpf__
#include <stdbool.h>

struct engine_bpf;

double engine_now(void); /* nanoseconds */
/* Is this row asked for? */
bool engine_wants(const char *prefix, const char *row);

/* Each prints "ROW VALUE UNIT" lines, UNIT being the rest of the line, for the rows that begin with prefix. */
void engine_programs(struct engine_bpf *s, const char *prefix); /* engine_programs.c */
void engine_elements(struct engine_bpf *s, const char *prefix); /* engine_elements.c: map operations of the loader */
void engine_rings(struct engine_bpf *s, const char *prefix);	/* engine_rings.c: several producers */
void engine_loading(const char *prefix);			/* engine_loading.c: verifying and compiling */
/* The producer process of engine_rings(): never returns. */
void engine_produce(int threads);
#endif
