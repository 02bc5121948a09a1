/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/link/process.h"

/* Is the stack word at addr the saved instruction pointer of a signal frame? (rt_sigframe of arch/x86/include/asm/
 * sigframe.h: the word in front of its ucontext is the restorer, recognised by its bytes, or a thunk of ours where the
 * handler has a return probe; and the segment registers in it are those of 64-bit user code) */
bool signal_frame_at(struct process *p, u64 addr);
