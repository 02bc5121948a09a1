/* SPDX-License-Identifier: MIT */
/*
 * Writes one instruction so that it does at a new address what it did at its old one. Pure.
 *
 *     plain, no operand relative to rip   copied
 *     operand relative to rip             copied, displacement adjusted
 *     jmp, jcc, xbegin                    rel32 form, same target
 *     loop, jrcxz                         jumps over a short jmp to a long one
 *     call                                pushes the ORIGINAL return address and jumps
 *
 * So a callee, an unwinder and whoever looks at his return address see no difference. Flags and all
 * registers are as the original leaves them, except that a syscall leaves its new address in rcx.
 */
#pragma once

#include "isa/x86_64/reader.h"
#include "isa/x86_64/writer.h"

#define X86_RELOCATED_MAX 32u /* bytes one instruction can grow to */

/* False: an instruction that cannot be moved (far or 16-bit branches, eip-relative operands, a call
 * through rsp or through the stack word that its own return address overwrites). p: its bytes. */
bool x86_can_relocate(const u8 *p, const struct x86_insn *i);

/* `from` is the run-time address of the instruction whose bytes are at p. Writes at x86_here(w);
 * errors stay in w. The length does not depend on the addresses. x86_can_relocate() must have said
 * yes. */
void x86_relocate(struct x86_writer *w, const u8 *p, const struct x86_insn *i, u64 from);

/* Control can run on behind the relocated form (not so for a call: its callee returns to the
 * original place). */
static inline bool x86_relocated_falls_through(const struct x86_insn *i)
{
	return !x86_ends_flow(i) && i->kind != X86_K_CALL && i->kind != X86_K_CALL_IND;
}
