/* SPDX-License-Identifier: MIT */
/* Finding the broker, starting it, asking it one thing. Errors are -errno. */
#pragma once

#include "abi/wire.h"

/* Connects to a running broker and greets it: socket, -ENOENT / -ECONNREFUSED none is running,
 * -EPROTO another version. */
int broker_connect(u32 role);
/* Starts one when none is running; waits until it answers. Socket or -errno (-ETIMEDOUT: see the
 * log). */
int broker_start(const char *notrapd, u32 role);
/* True for the errors of broker_connect() that mean: no broker. */
bool broker_is_absent(int err);
/* What an error of broker_connect() means for a user. */
const char *broker_error(int err);
/* The process id of the broker that runs, of whatever version. -errno. */
int broker_pid(void);
/* One request. *ret_fd: a descriptor or -1. The reply's value or -errno. */
s64 broker_ask(int sock, u32 op, u64 arg0, int *ret_fd);
