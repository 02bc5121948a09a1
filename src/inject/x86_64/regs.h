/* SPDX-License-Identifier: MIT */
/* What the generic code must know about this architecture's registers and system calls. */
#pragma once

#include <string.h>
#include <sys/user.h>

#include "inject/inject.h"

#define INJECT_SYSCALL_LEN 2u
#define INJECT_CS_64 0x33u /* user code segment of 64-bit mode */

static inline bool regs_is_syscall_insn(const u8 *p)
{
	return p[0] == 0x0f && p[1] == 0x05;
}

/* Registers that make the system call when the thread goes on. orig_rax = -1: the kernel must not take these
 * registers for those of an interrupted call and restart it. */
static inline void regs_set_call(struct user_regs_struct *r, u64 insn, long nr, const u64 a[6])
{
	r->rip = insn;
	r->rax = (u64)nr;
	r->orig_rax = ~0ull;
	r->rdi = a[0];
	r->rsi = a[1];
	r->rdx = a[2];
	r->r10 = a[3];
	r->r8 = a[4];
	r->r9 = a[5];
}

/* The number of the call that the system call instruction at insn makes, if it is loaded right in front of it
 * (mov $nr, %eax). Else *nr stays. */
static inline void regs_call_at(struct inject_target *t, u64 insn, u64 *nr)
{
	u8 code[5];
	u32 n;

	if (inject_read(t, insn - sizeof(code), code, sizeof(code)) || code[0] != 0xb8)
		return;
	memcpy(&n, code + 1, sizeof(n));
	*nr = n;
}

/* Number of the call the thread stopped in, -1 when it stopped in user code. */
static inline long regs_call(const struct user_regs_struct *r)
{
	return (long)r->orig_rax;
}

static inline long regs_result(const struct user_regs_struct *r)
{
	return (long)r->rax;
}
