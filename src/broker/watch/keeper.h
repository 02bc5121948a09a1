/* SPDX-License-Identifier: MIT */
/*
 * The gatekeeper: a small process that makes whoever opens or executes one of a few files wait until the broker has
 * had a look at him (fanotify permission events, which take CAP_SYS_ADMIN). Nobody waits for long: keeper_main.c.
 */
#pragma once

#include "abi/types.h"
#include "broker/link/engine.h"

struct keeper; /* the broker's end */

/* Somebody waits. */
struct keeper_guest {
	u32 id;
	s32 pid;      /* process, in the broker's pid namespace */
	u32 executes; /* 1: the file, as a program; else he opens it */
	u32 op;	      /* internal */
};

/* -EPERM, -EINVAL, -ENOSYS: there are no permission events to be had. Call before any thread is made. */
int keeper_start(const struct engine *e, struct keeper **ret);
void keeper_free(struct keeper *k); /* NULL is fine; everybody is let in */

/* Poll for reading; then keeper_next() until it returns false. */
int keeper_fd(const struct keeper *k);
/* False: nobody, for the moment; *ret_dead: nor ever again. */
bool keeper_next(struct keeper *k, struct keeper_guest *ret, bool *ret_dead);

/* Guests of this file are announced / let in again, from when this returns. fd: O_PATH is fine. -errno, -ETIMEDOUT. */
int keeper_mark(struct keeper *k, int fd, bool on);
/* Lets a guest in. with_all: and whatever else his process opens, until keeper_done(). */
void keeper_allow(struct keeper *k, const struct keeper_guest *g, bool with_all);
void keeper_done(struct keeper *k, const struct keeper_guest *g);
/* To be called often: a keeper that gives no sign of life is killed, which lets everybody in. False: it is dead. */
bool keeper_check(struct keeper *k);
