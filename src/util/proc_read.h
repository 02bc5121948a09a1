/* SPDX-License-Identifier: MIT */
/* How files of /proc are opened and read; for the proc*.c files only. */
#pragma once

#include <errno.h>
#include <sys/types.h>

#include "abi/types.h"

/* /proc answers ENOENT for a pid that never was and ESRCH for one that just went; callers want one. */
static inline int proc_gone(int err)
{
	return err == ENOENT ? -ESRCH : -err;
}

/* A descriptor or -errno (-ESRCH: no such process). */
__attribute__((format(printf, 2, 3))) int proc_open(int flags, const char *fmt, ...);
/* Reads a short file into buf as a string. Returns its length or -errno. */
ssize_t proc_read_text(int fd, char *buf, size_t cap);
/* A stat file, from the character behind "(comm) ". fd may be an error of proc_open(). 0 or -errno. */
int proc_stat_tail(int fd, char *buf, size_t cap, const char **ret);

static inline u64 proc_dec(const char **p)
{
	u64 v = 0;

	while (**p == ' ' || **p == '\t')
		(*p)++;
	while (**p >= '0' && **p <= '9')
		v = v * 10 + (u64)(*(*p)++ - '0');
	return v;
}

static inline u64 proc_hex(const char **p)
{
	u64 v = 0;

	while (**p == ' ' || **p == '\t')
		(*p)++;
	for (;; (*p)++) {
		char c = **p;

		if (c >= '0' && c <= '9')
			v = v << 4 | (u64)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (u64)(c - 'a' + 10);
		else
			return v;
	}
}
