/* SPDX-License-Identifier: MIT */
/* What only machine code can ask the processor. Include through payload/cpu.h. */
#pragma once

#include <asm/unistd.h>

#include "abi/types.h"
#include "base/syscall.h"

/* Attribute of a function that is one asm statement, at whose address that has to begin:
 * GCC has no naked functions here, but nothing comes before the statement either. */
#define CPU_ASM_ONLY

/* The thread pointer. No ABI keeps it in memory and none needs to: the register can be read by everybody. */
static inline u64 cpu_thread_base(void)
{
	u64 v;

	__asm__ volatile("mrs %0, tpidr_el0" : "=r"(v));
	return v;
}

static inline u64 cpu_thread_self(void)
{
	return cpu_thread_base();
}

static inline u32 cpu_thread_u32(s64 off)
{
	return *(const volatile u32 *)(uintptr_t)(cpu_thread_base() + (u64)off);
}

/* No register tells user space, and there is no vdso call: the kernel is asked. has_rdpid is x86-64's. */
static inline u32 cpu_number(bool has_rdpid)
{
	u32 cpu = 0;

	sys_call3(__NR_getcpu, (u64)(uintptr_t)&cpu, 0, 0);
	return cpu;
}

static inline u32 cpu_node(bool has_rdpid)
{
	u32 node = 0;

	sys_call3(__NR_getcpu, 0, (u64)(uintptr_t)&node, 0);
	return node;
}

/* What a function returns, in a struct pt_regs. */
static inline void cpu_set_result(u64 *regs, u64 value)
{
	regs[0] = value;
}
