/* SPDX-License-Identifier: MIT */
/*
 * What a thread finds in its haven (see haven.c): code that makes one system call and then returns to the state that is
 * kept behind it, laid out as rt_sigreturn(2) wants it (struct rt_sigframe in arch/x86/include/asm/sigframe.h, without the
 * return address; arch/x86/include/uapi/asm/sigcontext.h):
 *
 *     +0     syscall; mov $15, %eax; syscall
 *     +64    struct haven_context      rsp points here
 *     +512   floating point state, as XSAVE has it
 */
#pragma once

#include <cpuid.h>
#include <string.h>
#include <sys/user.h>

#include "abi/types.h"

#define HAVEN_CONTEXT 64u
#define HAVEN_FP 512u

static const u8 haven_code[] = { 0x0f, 0x05, 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x0b };

struct haven_context {
	u64 flags, link;
	u64 stack_sp, stack_flags, stack_size;
	u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	u16 cs, gs, fs, ss;
	u64 err, trapno, oldmask, cr2, fpstate, reserved[8];
	u64 sigmask;
};
_Static_assert(HAVEN_CONTEXT + sizeof(struct haven_context) <= HAVEN_FP, "they do not overlap");

#define HAVEN_UC_FLAGS 7u /* UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS */
#define HAVEN_NO_STACK 0x7fu /* no mode of an alternate stack: the kernel passes over it and leaves that stack as it is */

static inline void haven_fill_context(const struct user_regs_struct *r, u64 sigmask, u64 fpstate, struct haven_context *ret)
{
	*ret = (struct haven_context){
		.flags = HAVEN_UC_FLAGS, .stack_flags = HAVEN_NO_STACK,
		.r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11, .r12 = r->r12, .r13 = r->r13, .r14 = r->r14,
		.r15 = r->r15, .rdi = r->rdi, .rsi = r->rsi, .rbp = r->rbp, .rbx = r->rbx, .rdx = r->rdx, .rax = r->rax,
		.rcx = r->rcx, .rsp = r->rsp, .rip = r->rip, .eflags = r->eflags,
		.cs = (u16)r->cs, .ss = (u16)r->ss, .fpstate = fpstate, .sigmask = sigmask,
	};
}

/* Makes of the state that ptrace gives, n bytes of room for cap, the one that rt_sigreturn takes. Its size, 0 = cannot be. */
static inline u32 haven_fill_fp(u8 *fp, size_t n, size_t cap)
{
	struct {
		u32 magic, extended_size;
		u64 features;
		u32 size, padding[7];
	} sw = { .magic = 0x46505853 }; /* FP_XSTATE_MAGIC1 */
	const u32 end_magic = 0x46505845;
	u32 a, b, c, d, lo, hi, size = 576;

	_Static_assert(sizeof(sw) == 48, "the last 48 bytes of the 512");
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return 0;
	__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	sw.features = (lo | (u64)hi << 32) & ~(1ull << 18); /* without the one (AMX tiles) that takes a permission */
	for (u32 i = 2; i < 63; i++)
		if (sw.features >> i & 1 && __get_cpuid_count(0xd, i, &a, &b, &c, &d) && a + b > size)
			size = a + b;
	if (size > n || size + sizeof(end_magic) > cap)
		return 0;
	sw.size = size;
	sw.extended_size = size + (u32)sizeof(end_magic);
	memcpy(fp + 464, &sw, sizeof(sw));
	memcpy(fp + size, &end_magic, sizeof(end_magic));
	return sw.extended_size;
}
