/* SPDX-License-Identifier: MIT */
/*
 * A process that has just been born, or is about to load a library, was stopped once, and the broker has put the
 * payload into it. What follows takes several stops, between which it must not run a single instruction of its own. So
 * the thread was sent here instead of where it was: it waits for the broker as after a dlopen (rbrk.c), with the same
 * bound, and goes on as if nothing had been. Nobody has to keep it stopped, so nobody's death leaves it stopped.
 *
 * All registers and flags are kept; no vector register is used. The red zone is left alone. The way back is a jump through
 * memory, not a return: a shadow stack knows nothing of it.
 */
#include "payload/payload.h"

__attribute__((naked)) void hold_entry(void)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "pushfq\n\t"
			 "push %%rax\n\t"
			 "push %%rcx\n\t"
			 "push %%rdx\n\t"
			 "push %%rsi\n\t"
			 "push %%rdi\n\t"
			 "push %%r8\n\t"
			 "push %%r9\n\t"
			 "push %%r10\n\t"
			 "push %%r11\n\t"
			 "push %%rbx\n\t"
			 "mov %%rsp, %%rbx\n\t"
			 "and $-16, %%rsp\n\t"
			 "cld\n\t"
			 "call rbrk_notify\n\t"
			 "mov %%rbx, %%rsp\n\t"
			 "pop %%rbx\n\t"
			 "pop %%r11\n\t"
			 "pop %%r10\n\t"
			 "pop %%r9\n\t"
			 "pop %%r8\n\t"
			 "pop %%rdi\n\t"
			 "pop %%rsi\n\t"
			 "pop %%rdx\n\t"
			 "pop %%rcx\n\t"
			 "pop %%rax\n\t"
			 "popfq\n\t"
			 "lea 128(%%rsp), %%rsp\n\t"
			 "jmp *nt_state + %c[hold_pc](%%rip)\n\t"
			 :
			 : [hold_pc] "i"(offsetof(struct nt_state, hold_pc)));
}
