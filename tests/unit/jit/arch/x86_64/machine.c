/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include "isa/x86_64/writer.h"

const enum jit_arch machine_arch = JIT_X86_64;

bool machine_has_bmi2(void)
{
	return __builtin_cpu_supports("bmi2");
}

u32 machine_cpu(void)
{
	u32 aux;

	__asm__ volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
	return aux & 0xfff;
}

__asm__(".text\n.globl machine_loop_stub\n.hidden machine_loop_stub\nmachine_loop_stub:\n"
	"mov %r12, %rcx\njmp jt_loop\n"
	".globl machine_call_back\n.hidden machine_call_back\nmachine_call_back:\n"
	"push %r12\nmov %rcx, %r12\nmov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\ncall *%rax\npop %r12\nret\n");

/* Loads all registers but rsp from regs[0..15] (order of enum x86_reg), calls fn, stores them to
 * regs[16..31]. */
void machine_enter(u64 fn, u64 regs[32]);
__asm__(".text\n.globl machine_enter\n.hidden machine_enter\n.type machine_enter,@function\nmachine_enter:\n"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rsi; push %rdi\n"
	"mov %rsi, %r11\n"
	"mov (%r11), %rax; mov 8(%r11), %rcx; mov 16(%r11), %rdx; mov 24(%r11), %rbx\n"
	"mov 40(%r11), %rbp; mov 48(%r11), %rsi; mov 56(%r11), %rdi; mov 64(%r11), %r8\n"
	"mov 72(%r11), %r9; mov 80(%r11), %r10; mov 96(%r11), %r12; mov 104(%r11), %r13\n"
	"mov 112(%r11), %r14; mov 120(%r11), %r15; mov 88(%r11), %r11\n"
	"call *(%rsp)\n"
	"push %r11\n"
	"mov 16(%rsp), %r11\n"
	"mov %rax, 128(%r11); mov %rcx, 136(%r11); mov %rdx, 144(%r11); mov %rbx, 152(%r11)\n"
	"mov %rbp, 168(%r11); mov %rsi, 176(%r11); mov %rdi, 184(%r11); mov %r8, 192(%r11)\n"
	"mov %r9, 200(%r11); mov %r10, 208(%r11); mov %r12, 224(%r11); mov %r13, 232(%r11)\n"
	"mov %r14, 240(%r11); mov %r15, 248(%r11)\n"
	"pop 216(%r11)\n"
	"pop %rdi; pop %rsi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"ret\n.size machine_enter,.-machine_enter\n");

u64 machine_run(u64 fn, u64 ctx, u32 clobbers, u32 *ret_bad)
{
	u64 regs[32] = {0};
	u32 bad = 0;

	for (u32 r = 0; r < 16; r++)
		regs[r] = 0x1111111111111111ull * r + 0x0f1e2d3c4b5a6978ull;
	regs[X86_RDI] = ctx;
	machine_enter(fn, regs);
	for (u32 r = 0; r < 16; r++)
		if (r != X86_RSP && r != X86_RAX && regs[r] != regs[16 + r] && !(clobbers >> r & 1))
			bad |= 1u << r;
	*ret_bad = bad;
	return regs[16 + X86_RAX];
}
