/* SPDX-License-Identifier: MIT */
/* Functions to be probed: p_N(callback, argument) calls the callback, if there is one, and returns 40 + N. */
	.text
	.macro FUNC n
	.balign 32
	.globl p_\n
	.type p_\n, @function
p_\n:
	.cfi_startproc
	push %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov %rsp, %rbp
	.cfi_def_cfa_register %rbp
	mov %rdi, %rax
	mov %rsi, %rdi
	test %rax, %rax
	jz 1f
	call *%rax
1:	mov $40 + \n, %eax
	pop %rbp
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size p_\n, . - p_\n
	.endm
	FUNC 0
	FUNC 1
	FUNC 2
	FUNC 3
	FUNC 4
	FUNC 5
	FUNC 6
	FUNC 7

/* Calls p_5 by a jump, p_6 too after one more. */
	.balign 32
	.globl p_jump
	.type p_jump, @function
p_jump:
	.cfi_startproc
	mov $0, %eax
	mov $0, %ecx
	jmp p_5
	.cfi_endproc
	.size p_jump, . - p_jump
	.balign 32
	.globl p_jump_2
	.type p_jump_2, @function
p_jump_2:
	.cfi_startproc
	mov $0, %eax
	mov $0, %ecx
	jmp p_jump
	.cfi_endproc
	.size p_jump_2, . - p_jump_2

/* p_regs(): called by call_regs() with known registers; its first instruction is a nop, as at an USDT site. */
	.balign 32
	.globl p_regs
	.type p_regs, @function
p_regs:
	.cfi_startproc
	nop
	mov %rdi, %rdi
	mov %rsi, %rsi
	mov $0x1234, %eax
	ret
	.cfi_endproc
	.size p_regs, . - p_regs

/* void call_regs(u64 after[24]): every register a number; stores what they are after the call. */
	.globl call_regs
	.type call_regs, @function
call_regs:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi
	mov $0xa0, %eax
	mov $0xb0, %ebx
	mov $0xc0, %ecx
	mov $0xd0, %edx
	mov $0x51, %esi
	mov $0xd1, %edi
	mov $0xb9, %ebp
	mov $0x80, %r8d
	mov $0x90, %r9d
	mov $0x100, %r10d
	mov $0x110, %r11d
	mov $0x120, %r12d
	mov $0x130, %r13d
	mov $0x140, %r14d
	mov $0x150, %r15d
	movq %r15, %xmm7
	movq %r14, %xmm15
	movq $0x1122334455667788, %r15
	mov %r15, -120(%rsp)
	mov %r15, -64(%rsp)
	mov $0x150, %r15d
	cmp $0xa1, %eax	/* every flag known */
	stc
	call p_regs
	.globl call_regs_back
call_regs_back:
	pushfq
	push %r15
	mov 16(%rsp), %r15
	mov %rax, 0(%r15)
	mov %rbx, 8(%r15)
	mov %rcx, 16(%r15)
	mov %rdx, 24(%r15)
	mov %rsi, 32(%r15)
	mov %rdi, 40(%r15)
	mov %rbp, 48(%r15)
	mov %r8, 56(%r15)
	mov %r9, 64(%r15)
	mov %r10, 72(%r15)
	mov %r11, 80(%r15)
	mov %r12, 88(%r15)
	mov %r13, 96(%r15)
	mov %r14, 104(%r15)
	pop %rax
	mov %rax, 112(%r15)
	pop %rax
	mov %rax, 120(%r15)
	movq %xmm7, 128(%r15)
	movq %xmm15, 136(%r15)
	pop %rdi
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size call_regs, . - call_regs

/* u64 p_red(void): a probe in the middle (p_red_mid) while the red zone is in use and the carry flag set. */
	.balign 32
	.globl p_red
	.type p_red, @function
p_red:
	.cfi_startproc
	movq $0x77, -8(%rsp)
	movq $0x88, -128(%rsp)
	stc
	.globl p_red_mid
p_red_mid:
	mov $1, %ecx
	mov $2, %edx
	mov $0, %eax
	adc -8(%rsp), %rax
	add -128(%rsp), %rax
	ret
	.cfi_endproc
	.size p_red, . - p_red

#include "usdt_site.h"

	.pushsection .probes, "aw", "progbits"
	.balign 2
	.globl usdt_semaphore
usdt_semaphore:
	.zero 2
	.popsection

/* u64 p_usdt(a, b): the probe "twice" stands in it two times, with other arguments; "once" has a semaphore. */
	.balign 32
	.globl p_usdt
	.type p_usdt, @function
p_usdt:
	.cfi_startproc
	push %rbp
	.cfi_def_cfa_offset 16
	mov %rsp, %rbp
	USDT twice 0 "-4@%edi -4@%esi"
	mov %rdi, %rax
	add %rsi, %rax
	add $1, %rax
	USDT twice 0 "8@%rax 8@$77"
	add $1, %rax
	mov %rax, %rdx
	USDT once usdt_semaphore "8@%rdx 8@%rsi"
	mov %rdx, %rax
	nop
	nop
	pop %rbp
	ret
	.cfi_endproc
	.size p_usdt, . - p_usdt

/* u64 p_combo(a, b): a site as newer headers make it: a nop that libbpf before 1.7 takes, a nop of five bytes for later ones. */
	.balign 32
	.globl p_combo
	.type p_combo, @function
p_combo:
	.cfi_startproc
	lea 1(%rdi,%rsi), %rax
	USDT combo 0 "8@%rdi 8@%rax"
	.globl p_combo_5
p_combo_5:
	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00
	ret
	.cfi_endproc
	.size p_combo, . - p_combo

/* What no probe may be put on: somebody's breakpoint. */
	.balign 32
	.globl p_broken
	.type p_broken, @function
p_broken:
	int3
	nop
	nop
	nop
	nop
	ret
	.size p_broken, . - p_broken

/* Thousands of functions of one kind. */
	.balign 16
	.globl p_many
	.type p_many, @function
p_many:
	.rept 4096
	push %rbp
	mov %rsp, %rbp
	mov $7, %eax
	pop %rbp
	ret
	.balign 16
	.endr
	.globl p_many_end
p_many_end:
	.size p_many, . - p_many
	.section .note.GNU-stack, "", @progbits
