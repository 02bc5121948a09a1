/* SPDX-License-Identifier: MIT */
/*
 * What the tests of this folder share: an ordinary libbpf loader that counts entries and returns of newborn's functions.
 * Each test runs on the kernel and under notrap and makes the same claims in both.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

#include "tap.h"

#define LINKS_MAX 16

extern const char *newborn, *library, *plug; /* files, from the arguments */

/* Loads the programs. 0 or the errno. */
int birth_load(int argc, char **argv);
/* The same; ends the test where that is not permitted. */
static inline void birth_begin(int argc, char **argv)
{
	int err = birth_load(argc, argv);

	if (err == EPERM)
		tap_skip_all("bpf(2) is not permitted to this user");
	if (!tap_ok(!err, "programs load"))
		exit(tap_done());
}

/* Entry and return links on the functions of a file (newborn, its library, the plugin, or a copy or name of one of
 * them) for one process, or -1: all. False: not attached. */
bool watch_file(const char *file, const char *kind, pid_t pid);
bool watch_all_files(pid_t pid);
void unwatch(void);

/* "main_ctor 2 main_fn 5": what was counted, entries; a function whose returns differ shows both: "main_fn 5/4". Then
 * all is zero again. */
const char *counted(void);
/* Who made the n-th call of main_fn since unwatch(): bpf_get_current_pid_tgid(); 0: there was none. */
unsigned long long caller_id(unsigned int n);
/* One check: what was counted is want. */
static inline bool counts_are(const char *want, const char *what)
{
	const char *have = counted();
	bool ok = tap_ok(!strcmp(have, want), "%s: %s", what, want);

	if (!ok)
		printf("# counted: %s\n", have);
	return ok;
}

/* The same where docs/differences.md lists a difference: either will do. */
static inline bool counts_are_either(const char *kernel, const char *notrap, const char *what)
{
	const char *have = counted();
	bool ok = tap_ok(!strcmp(have, kernel) || !strcmp(have, notrap), "%s: %s%s%s", what, kernel,
			 kernel == notrap ? "" : ", notrap: ", kernel == notrap ? "" : notrap);

	if (!ok)
		printf("# counted: %s\n", have);
	return ok;
}

/* A process of ours that is not the loader's: without the loader's environment. argv ends with NULL. in: where to write
 * its input, out: where to read its output; NULL = not wanted. */
pid_t stranger(char *const argv[], int *in, int *out);
/* Waits for "ready" from out. */
bool is_ready(int out);
void go_on(int in);
/* Exit status, 256 + signal. */
int ended(pid_t pid);
/* A new executable file with the same bytes. */
bool copy_file(const char *from, const char *to);
/* Time for what a notrap that only looks now and then (an ordinary user's) needs to notice a process. */
void a_moment(void);
