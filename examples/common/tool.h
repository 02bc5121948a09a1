/* SPDX-License-Identifier: MIT */
/* What every small tracing tool does: numbers from options, time, and waiting for its end. */
#pragma once

#include <argp.h>
#include <stdbool.h>

/* Numbers from an option's argument; a bad one ends the program through argp_error(). */
double tool_parse_seconds(const char *arg, struct argp_state *state);
int tool_parse_positive(const char *arg, const char *what, struct argp_state *state);

/* Seconds on the monotonic clock. */
double tool_now(void);

/* From here on SIGINT and SIGTERM end a tool_wait() instead of the program; libbpf speaks only when
 * verbose. */
void tool_init(bool verbose);

/* Watches a process for tool_wait(): returns a pidfd to close, or -1 when pid <= 0. */
int tool_watch(int pid);

/* Sleeps until tool_now() is `until`: true; or until a signal came or the watched process is gone:
 * false. */
bool tool_wait(double until, int watched);
