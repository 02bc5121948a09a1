/* SPDX-License-Identifier: MIT */
/*
 * What a loader asks about the machine before it dares to begin, where the kernel's true answer would stop it although
 * notrap can do the work: is it root, may it lock memory, are the tracing files readable. Nothing is pretended to the
 * kernel or to anybody else: files are opened and signals sent with the rights that the process really has.
 */
#pragma once

#include "abi/types.h"

/* Once. is_loader: this process is what `notrap run` has started, not a child of it. */
void pretend_start(bool is_loader);
/* Shall the process think that it is root? $NOTRAP_ROOT is "1" for the loader, or it is bpftrace, and not "0". */
bool pretend_root(void);
/* Opening path has failed with err: a descriptor of an empty file instead, or -1. */
int pretend_file(const char *path, int err, bool cloexec);
/* Setting this limit has failed with err: does it matter? Our maps are no locked memory. */
bool pretend_limit(int resource, int err);
