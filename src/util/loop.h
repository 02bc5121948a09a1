/* SPDX-License-Identifier: MIT */
/*
 * A single-threaded event loop over epoll. Callbacks may free any source, their own included: a
 * freed source gets no further call, its memory goes when the current round is over. Errors are
 * -errno.
 */
#pragma once

#include <sys/epoll.h>

#include "abi/types.h"

struct loop;
struct loop_source;

typedef void (*loop_fn)(struct loop_source *s, u32 events, void *arg);

int loop_new(struct loop **ret);
void loop_free(struct loop *l); /* NULL is fine; frees what is left in it */

/* Watches fd, which stays the caller's. events: EPOLLIN ... (level triggered unless EPOLLET). */
int loop_add(struct loop *l, int fd, u32 events, loop_fn fn, void *arg, struct loop_source **ret);
/* Calls fn every period_ms until freed; period 0: created stopped. */
int loop_add_timer(struct loop *l, u64 period_ms, loop_fn fn, void *arg, struct loop_source **ret);
int loop_timer_set(struct loop_source *s, u64 period_ms); /* 0 stops it */
void loop_source_free(struct loop_source *s);		  /* NULL is fine */

/* Runs until loop_quit(); 0 or -errno. */
int loop_run(struct loop *l);
/* One round: waits up to timeout_ms (-1 for ever), calls what is ready. Number of calls or -errno.
 */
int loop_turn(struct loop *l, int timeout_ms);
void loop_quit(struct loop *l);
