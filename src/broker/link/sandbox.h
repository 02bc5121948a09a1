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
 * True: every system call that we and the payload make in a target is allowed in process pid, because its filters are
 * ours, and we have tried. False: it has others, or nobody can tell; or it has none.
 */
bool sandbox_is_shared(pid_t pid);

/* True: the only filter of process pid is ours (notify.h), which lets through what we and the payload do. */
bool sandbox_is_our_filter(struct broker *b, pid_t pid);
