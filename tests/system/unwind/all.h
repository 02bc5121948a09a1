/* SPDX-License-Identifier: MIT */
/*
 * An ordinary libbpf loader's half: entry and return programs on every function of files that a process has mapped,
 * and the counts. Functions that no uprobe can be put on are left out (the kernel's rule).
 */
#pragma once

#define ALL_MAX 262144

#ifndef __bpf__
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "victim_io.h"

#define ALL_FILES 64

struct all_file {
	char *path;
	struct functions *functions; /* or, of a file without names: */
	uint64_t *offset;
	uint32_t n;
	uint32_t first; /* cookie of its function 0 */
	struct bpf_link *in, *out;
};

struct all {
	struct all_bpf *skel;
	struct all_file file[ALL_FILES];
	unsigned int nfiles;
	uint32_t next; /* cookie */
	bool entries_only;
};

/* Prints what fails as a TAP comment. use_hash: programs that also go through helpers. */
bool all_open(struct all *a, bool use_hash);
/* Programs that call helpers read memory now and then, what is there and what is not. False: a wrong answer; both are printed. */
bool all_reads_are_right(const struct all *a);
void all_close(struct all *a);

/* Adds a file; nothing is attached. */
bool all_add(struct all *a, const char *path);
/* The same with all functions that its unwind tables know, named or not. */
bool all_add_unnamed(struct all *a, const char *path);
/* Adds the file that the process has mapped with this in its name, e.g. "libc.so". */
bool all_add_mapped(struct all *a, pid_t pid, const char *part);
bool all_add_mapped_unnamed(struct all *a, pid_t pid, const char *part);

bool all_attach(struct all *a, pid_t pid);
void all_detach(struct all *a);

/* Of the function with this name in the first file; false: there is none. */
bool all_count(struct all *a, const char *name, uint64_t *ret_entries, uint64_t *ret_returns);
size_t all_functions(const struct all *a, unsigned int file);
/* Sums over one file. */
void all_sum(struct all *a, unsigned int file, uint64_t *ret_entries, uint64_t *ret_returns);

/*
 * Gives the victim a command and reads what it says until "done". Lines "count NAME E_LO E_HI R_LO R_HI" are compared
 * with the counts, differences are printed; "ready" and "# ..." are passed on. False: something was wrong.
 */
bool all_do(struct all *a, struct victim_io *v, const char *command);
/* The second half of it: the command was told before. */
bool all_answer(struct all *a, struct victim_io *v, const char *command);
#endif
