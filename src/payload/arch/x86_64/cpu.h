/* SPDX-License-Identifier: MIT */
/* What only machine code can ask the processor. Include through payload/cpu.h. */
#pragma once

#include "abi/bpf.h"
#include "abi/types.h"

/* Attribute of a function that is one asm statement, at whose address that has to begin. */
#define CPU_ASM_ONLY naked,

/* The thread pointer as the ABI keeps it in its own first word. */
static inline u64 cpu_thread_self(void)
{
	u64 v;

	__asm__ volatile("movq %%fs:0, %0" : "=r"(v));
	return v;
}

/* The same from the register. Needs FSGSBASE: the broker refuses processes that have neither. */
static inline u64 cpu_thread_base(void)
{
	u64 v;

	__asm__ volatile("rdfsbase %0" : "=r"(v));
	return v;
}

static inline u32 cpu_thread_u32(s64 off)
{
	u32 v;

	__asm__ volatile("movl %%fs:(%1), %0" : "=r"(v) : "r"(off));
	return v;
}

/* Linux keeps {node, cpu} in TSC_AUX and, for older processors, as the limit of a segment that all
 * may ask for. */
#define CPU_NODE_SELECTOR 0x7bul
#define CPU_NUMBER_MASK 0xfffu
#define CPU_NODE_SHIFT 12u

static inline u32 cpu_node_and_number(bool has_rdpid)
{
	u64 v;

	if (has_rdpid)
		__asm__ volatile("rdpid %0" : "=r"(v));
	else
		__asm__ volatile("lsl %1, %0" : "=r"(v) : "r"(CPU_NODE_SELECTOR));
	return (u32)v;
}

static inline u32 cpu_number(bool has_rdpid)
{
	return cpu_node_and_number(has_rdpid) & CPU_NUMBER_MASK;
}

static inline u32 cpu_node(bool has_rdpid)
{
	return cpu_node_and_number(has_rdpid) >> CPU_NODE_SHIFT;
}

/* What a function returns, in a struct pt_regs. */
static inline void cpu_set_result(u64 *regs, u64 value)
{
	regs[NT_RAX] = value;
}
