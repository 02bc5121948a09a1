/* SPDX-License-Identifier: MIT */
/* Signal frames as the kernel leaves them (struct sigcontext, arch/x86/include/uapi/asm/sigcontext.h). */
#pragma once

#include "inject/inject.h"

#define FRAME_SEGMENTS 0x002b000000000033ull /* cs, gs, fs, ss of 64-bit user code, one word of it */
#define FRAME_SP_BACK 24u /* behind sp, ip, flags */

/* Is this word, found at an address of a stack, part of a signal frame, as far as one can see? Then the stack pointer
 * of what was interrupted. */
static inline bool frame_sp(struct inject_target *t, u64 word, u64 at, u64 *ret_sp)
{
	return word == FRAME_SEGMENTS && !inject_read(t, at - FRAME_SP_BACK, ret_sp, sizeof(*ret_sp));
}
