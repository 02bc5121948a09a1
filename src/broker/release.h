/* SPDX-License-Identifier: MIT */
/*
 * A thread whose filtered call we have taken can only be killed: it cannot be stopped, and nothing can be attached to its
 * process (notify.c). Letting go of it makes that possible, without its noticing: its call begins again and waits for us,
 * in a state that can be stopped, because we have not taken it again yet.
 *
 *     taken:     the thread waits killable                             ... PTRACE_INTERRUPT, which it does not hear yet
 *     answer:    "begin again" (ERESTARTNOINTR)                        ... it leaves the call, and stops at once
 *     detach:    the kernel starts the call once more                  ... it waits for us, interruptible
 *
 * Only a thread with a stop pending looks at that answer; to any other it would be the call's result. So the order
 * matters, and a thread that cannot be traced (a debugger has it) is not let go.
 */
#pragma once

#include <sys/types.h>

#include "abi/types.h"

/* Thread tid has made call number id of this seccomp listener. 0: it makes the call again. -EPERM: it cannot be traced,
 * and still waits for its answer; -ESRCH: it is dead. */
int release_caller(int listener, u64 id, pid_t tid);
