/* SPDX-License-Identifier: MIT */
/*
 * The system call that sends a signal to its own process when a program has ended. A handler runs on top of it, maybe for
 * hours, and SIGSTOP stops the thread in it: but no program of ours runs there, so who closes a link need not wait for it.
 * That is seen by the address behind the call.
 */
#include "payload/payload.h"

__attribute__((naked)) s64 sent_call(long nr, u64 a0, u64 a1, u64 a2)
{
	__asm__ volatile("mov %rdi, %rax\n\t"
			 "mov %rsi, %rdi\n\t"
			 "mov %rdx, %rsi\n\t"
			 "mov %rcx, %rdx\n\t"
			 "syscall\n\t"
			 ".globl sent_pc\n"
			 "sent_pc:\n\t"
			 "ret\n\t");
}
