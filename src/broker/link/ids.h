/* SPDX-License-Identifier: MIT */
/*
 * Threads of a process in another pid namespace do not know what they are called in ours; programs are told that, and it
 * is the owner's mark in what processes share. So we write it down for them (struct nt_ids; payload/ids.c asks).
 */
#pragma once

#include "broker/link/process.h"

/* Is it in another namespace? */
bool ids_is_foreign(pid_t pid);
/* Writes down the threads that are not in the table yet, in place of those that are no more. */
void ids_fill(struct process *p);
/* Has one of its threads asked since? Then the answer is given. Returns whether. */
bool ids_answer(struct process *p);
