/* SPDX-License-Identifier: MIT */
/*
 * Processes that begin to use a probed file are stopped before they can call it: those that execute it and those whose
 * dynamic linker opens it. With CAP_SYS_ADMIN always; else as often as we are quick enough (watch.c finds the others).
 */
#pragma once

#include "broker/link/process.h"

struct birth;

/* At start, before any thread is made. -errno: not to be had here, which is no reason to fail. */
int birth_new(struct engine *e, struct birth **ret);
void birth_free(struct birth *b); /* NULL is fine */

/* Links have come or gone: marks their files, and no others. */
void birth_update(struct birth *b);
/* Is it at work? (The keeper may have died.) */
bool birth_catches(const struct birth *b);
/* Regularly, while there are links. */
void birth_check(struct birth *b);

/*
 * The state of a process that was caught (process.birth). Its thread waits in the payload, or in the probe of the dynamic
 * linker, for us to answer.
 */
enum {
	BIRTH_NONE,
	BIRTH_HELD,    /* nothing has been done yet but the payload */
	BIRTH_LOADING, /* the dynamic linker is at work: its libraries are not ready to be attached to */
};

/* It rang. True: it is (now) an ordinary process, to be looked at. False: the time has not come, let it go on. */
bool birth_rang(struct process *p);
/* Must the process be left alone for now? */
bool birth_pending(const struct process *p);
