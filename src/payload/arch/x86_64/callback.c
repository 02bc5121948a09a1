/* SPDX-License-Identifier: MIT */
#include "payload/callback.h"

__attribute__((naked)) u64 callback_call(u64 fn, u64 r1, u64 r2, u64 r3, u64 r4, u64 keep)
{
	__asm__ volatile("push %r12\n\t"
			 "mov %r9, %r12\n\t"
			 "mov %rdi, %rax\n\t"
			 "mov %rsi, %rdi\n\t"
			 "mov %rdx, %rsi\n\t"
			 "mov %rcx, %rdx\n\t"
			 "mov %r8, %rcx\n\t"
			 "call *%rax\n\t"
			 "pop %r12\n\t"
			 "ret");
}

__attribute__((naked)) u64 helper_loop(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	__asm__ volatile("mov %r12, %r9\n\t"
			 "jmp callback_loop");
}

__attribute__((naked)) u64 helper_for_each_map_elem(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	__asm__ volatile("mov %r12, %r9\n\t"
			 "jmp callback_for_each");
}

__attribute__((naked)) u64 helper_user_ringbuf_drain(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	__asm__ volatile("mov %r12, %r9\n\t"
			 "jmp callback_user_ring_drain");
}

__attribute__((naked)) u64 helper_get_task_stack(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	__asm__ volatile("mov %r12, %r9\n\t"
			 "jmp callback_task_stack");
}

/* bpf_task_pt_regs: of the only task there is, which is ctx. */
__attribute__((naked)) u64 helper_task_pt_regs(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	__asm__ volatile("mov %r12, %rax\n\t"
			 "ret");
}
