/* SPDX-License-Identifier: MIT */
/* A process that answers one line to each line. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	FILE *to, *from;
};

/* Starts argv and waits until it says "ready". Its stderr is appended to the file log. 0 or a
 * negative errno. */
int child_start(struct child *c, char *const argv[], const char *log);

/* Sends a line (no newline) and reads the number that comes back. -EIO: it died, -ETIMEDOUT: no
 * answer in a minute. */
__attribute__((format(printf, 3, 4))) int child_ask(struct child *c, uint64_t *ret,
						    const char *format, ...);

/* Closes its input and waits for its end; kills it after ten seconds. NULL-safe in the sense of a
 * zeroed child. */
void child_stop(struct child *c);
