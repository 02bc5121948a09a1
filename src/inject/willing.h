/* SPDX-License-Identifier: MIT */
/*
 * A target that helps: its only thread waits for us and makes the system calls itself that we ask for (the shim in a
 * program that has just started). Neither borrowing nor stopping takes ptrace then, so a debugger may have the target.
 */
#pragma once

#include "inject/inject.h"

struct inject_willing {
	s64 (*call)(void *arg, long nr, const u64 a[6]); /* the call's result, or -errno of the conversation */
	int (*take)(void *arg, int fd);			 /* our descriptor there: its number, or -errno */
	void *arg;
	u64 thread_pointer; /* of that thread, for inject_regs() */
};

/* As inject_open(), but a tracer is no obstacle. w must outlive its use; inject_willing_end() before the thread goes on. */
int inject_open_willing(pid_t pid, const struct inject_willing *w, struct inject_target *ret);
/* For a target that is open already. */
void inject_willing_begin(struct inject_target *t, const struct inject_willing *w);
void inject_willing_end(struct inject_target *t);
