/* SPDX-License-Identifier: MIT */
/* A target's return entries (abi/payload.h), looked at from outside: which code do unfinished calls still need? */
#pragma once

#include "broker/link/process.h"

struct entries {
	struct nt_ret_entry *entry;
	u32 n;
};

/* Copies them; the target is stopped, or they are only a hint. 0 or -errno; entries_deinit() after success. */
int entries_read(struct process *p, struct entries *ret);
void entries_deinit(struct entries *e);

/* Does an unfinished call return through this region? */
bool entries_need(const struct entries *e, const struct code_region *r);

/*
 * Strikes out of the copy what cannot return any more, of the calls that need one of the regions nobody jumps to. All
 * threads are stopped. The rules are those of payload/ret.c, and so is what they do not cover: coroutines that copy
 * their stacks away. So this is for targets where such calls pile up.
 */
void entries_forget_abandoned(struct process *p, struct entries *e);
