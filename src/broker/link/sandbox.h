/* SPDX-License-Identifier: MIT */
/*
 * In a container everybody has a seccomp filter, we too. A filter cannot be read, so a process that has one is normally
 * left alone: a system call that we make in it could be its death. But when it is the very filter that we live under
 * ourselves, then what we may do, it may.
 */
#pragma once

#include <sys/types.h>

#include "abi/types.h"

struct broker;

/*
 * May a thread of process pid make the system calls that we and the payload need, filter or not? True if its filters are
 * those that we live under ourselves, and we have tried; or if its only one is ours (notify.h), which lets all of that through:
 * it is a loader, or one of its ancestors is, and still runs. False: it has others, or nobody can tell; or it has none.
 */
bool sandbox_allows(struct broker *b, pid_t pid);

/* Is the only filter of process pid ours? */
bool sandbox_is_ours(struct broker *b, pid_t pid);
