/* SPDX-License-Identifier: MIT */
/*
 * The connection to the broker: made at the first call, made anew in a forked child, and when the
 * application closed it (daemons close everything). One call at a time; signals wait until it is
 * over, as they wait for a bpf(2) in the kernel.
 */
#pragma once

#include "abi/wire.h"

struct session {
	u32 lock;
	u32 pid; /* process that made the connection */
	int sock;
	u64 ino; /* of sock: is that number still our socket? */
	u32 seq;
};

/* A call with its reply. *ret_fd: a new descriptor, or -1. 0 or -errno: the broker could not be
 * asked. */
int session_call(struct session *s, u32 op, const u64 arg[6], struct nt_reply *ret, int *ret_fd);
/* The parts of it, for a longer conversation; with signals blocked. A connection is made when there is none (within_ms:
 * as ipc_connect_within()). */
int session_ready(struct session *s, u32 within_ms);
struct nt_request session_request(struct session *s, u32 op, const u64 arg[6]);
void session_close(struct session *s);
/* Is fd the connection itself? It must survive an application that closes what it did not open. */
bool session_owns(const struct session *s, int fd);

/* Takes over the connection that `notrap run` left open across exec: "number:inode" as in
 * $NOTRAP_FD, NULL is fine. */
void session_adopt(struct session *s, const char *text);

/* All signals blocked / as before, for code that holds a lock. */
u64 signals_block(void);
void signals_restore(u64 old);
/* A descriptor of ours goes out of the application's way: same file, high number. The old number is
 * closed. */
int session_move_fd(int fd);
