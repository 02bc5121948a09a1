/* SPDX-License-Identifier: MIT */
/* What the tools are pointed at: "FILE:PATTERN", a process, and everything that can be wrong with
 * either. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "functions.h"

struct target {
	int pid;	     /* -1: every process */
	char path[PATH_MAX]; /* as this process can open it */
	char *pattern;
	struct functions functions;
};

/*
 * Finds the file and its functions for SPEC = "FILE:PATTERN" (or "PATTERN": the program that pid
 * runs). FILE is a path or a name like "libc.so.6", "libc" or "c": looked up among the files that
 * pid has mapped, else in PATH and the library folders. PATTERN is a glob, with regex an extended
 * regular expression. Says on stderr, after the tool's name, what is wrong. Returns 0 or a negative
 * errno.
 */
int target_init(struct target *t, const char *tool, int pid, const char *spec, bool regex);
void target_deinit(struct target *t);
