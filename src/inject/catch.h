/* SPDX-License-Identifier: MIT */
/*
 * Catching a process on its way: a thread waits in the kernel for something that we may grant (permission to open or to
 * execute a file), and shall not run one instruction behind that before we have been there (catch.c). Or there is no such
 * thing, and we have to be quick (hunt.c).
 */
#pragma once

#include "inject/inject.h"

struct inject_catch {
	pid_t pid, tid;		    /* the thread that waits, and its process */
	void (*release)(void *arg); /* grants it; called exactly once, whatever else fails, on another thread */
	void *arg;
	u32 timeout_ms; /* from the release to the stop */
	bool seccomp_ok; /* as in struct inject_target */
};

/*
 * Traces the thread, releases it, and waits for it to stop in front of its next instruction in user mode: behind open(2),
 * or at the first of the new program behind execve(2), even if that was called by a thread that is not the leader. Then
 * as after inject_open() and inject_borrow(): *ret is open, the thread is borrowed; inject_give_back() lets it go.
 * -errno of these two; -ETIMEDOUT it did not stop in time.
 */
int inject_catch(const struct inject_catch *c, struct inject_target *ret);

/* Nobody waits for us: a process is caught as soon as it is seen, wherever it is then. */
struct inject_hunt {
	pid_t (*next)(void *arg); /* one that might be it, or 0: nobody for now. Called often, on another thread */
	bool (*is_it)(pid_t pid, void *arg); /* its first thread is stopped now: is it still time? */
	bool (*seccomp_ok)(pid_t pid, void *arg); /* as in struct inject_target; asked then; NULL: never */
	void *arg;
	u64 until_ns; /* CLOCK_MONOTONIC */
};

/*
 * Ends with the first process that next() names. 0: as inject_catch(). Else it runs on as if nothing had been: -EAGAIN it
 * is not the one, -ETIMEDOUT there was none, or it did not stop; or -errno of inject_open().
 */
int inject_hunt(const struct inject_hunt *h, struct inject_target *ret);

/* With a borrowed thread: given back, it goes on at pc; *ret_pc is where it would have. -EAGAIN: it stands in a system
 * call that will be restarted. */
int inject_divert(struct inject_target *t, u64 pc, u64 *ret_pc);
