/* SPDX-License-Identifier: MIT */
/*
 * Functions whose first bytes differ in every way that matters to a patcher. Each returns its argument plus the number
 * in its comment; funcs.h has the table.
 */
	.text

	.macro function name, align=16
	.balign \align, 0xcc
	.globl \name
	.type \name, @function
\name:
	.cfi_startproc
	.endm

	.macro done name
	.cfi_endproc
	.size \name, . - \name
	.endm

	function v_push			/* 1: frame pointer prologue */
	push %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov %rsp, %rbp
	.cfi_def_cfa_register %rbp
	lea 1(%rdi), %rax
	pop %rbp
	.cfi_def_cfa %rsp, 8
	ret
	done v_push

	function v_nop5			/* 2: a five-byte nop, as tracing compilers leave it */
	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00
	lea 2(%rdi), %rax
	ret
	done v_nop5

	function v_endbr64		/* 3 */
	endbr64
	push %rbx
	.cfi_def_cfa_offset 16
	.cfi_offset %rbx, -16
	mov %rdi, %rbx
	lea 3(%rbx), %rax
	pop %rbx
	.cfi_def_cfa_offset 8
	ret
	done v_endbr64

	function v_leaf			/* 4: five bytes in all */
	lea 4(%rdi), %rax
	ret
	done v_leaf

	function v_mov			/* 5: first instruction of three bytes */
	mov %rdi, %rax
	add $5, %rax
	ret
	done v_mov

	function v_riprel		/* 6: operand relative to the instruction */
	mov six(%rip), %rax
	add %rdi, %rax
	ret
	done v_riprel

	function v_jcc			/* 7: a branch among the first bytes */
	test %rdi, %rdi
	je 1f
	lea 7(%rdi), %rax
	ret
1:	mov $7, %eax
	ret
	done v_jcc

	function v_call			/* 8: begins with a call */
	call plus8
	ret
	done v_call

	function v_sub			/* 9: makes room first */
	sub $0x18, %rsp
	.cfi_def_cfa_offset 32
	mov %rdi, 8(%rsp)
	mov 8(%rsp), %rax
	add $9, %rax
	add $0x18, %rsp
	.cfi_def_cfa_offset 8
	ret
	done v_sub

	function v_loop			/* 10: its own loop jumps to the third byte */
	xor %eax, %eax
1:	inc %rax
	cmp $10, %rax
	jne 1b
	add %rdi, %rax
	ret
	done v_loop

	function v_jmp			/* 11: begins with a jump to its body */
	jmp 1f
	ud2
1:	lea 11(%rdi), %rax
	ret
	done v_jmp

	function v_mov32		/* 12: a five-byte first instruction */
	mov $12, %eax
	add %rdi, %rax
	ret
	done v_mov32

	function v_tiny			/* 0: four bytes, the next function follows at once */
	mov %rdi, %rax
	ret
	done v_tiny

	function v_after_tiny, 1	/* 13 */
	lea 13(%rdi), %rax
	ret
	done v_after_tiny

	function v_red_zone		/* 14: keeps data below the stack pointer */
	mov %rdi, -8(%rsp)
	movq $14, -16(%rsp)
	mov -8(%rsp), %rax
	add -16(%rsp), %rax
	ret
	done v_red_zone

	function v_flags		/* 15: flags set by the caller's compare must survive: carry comes in */
	adc $14, %rdi
	mov %rdi, %rax
	ret
	done v_flags

	.balign 16
plus8:
	.cfi_startproc
	lea 8(%rdi), %rax
	ret
	.cfi_endproc

	/* u64 v_sum8(a, ... h): two of eight arguments are on the stack. */
	function v_sum8
	lea (%rdi,%rsi), %rax
	add %rdx, %rax
	add %rcx, %rax
	add %r8, %rax
	add %r9, %rax
	add 8(%rsp), %rax
	add 16(%rsp), %rax
	ret
	done v_sum8

	/* double v_double(double): argument and result in a vector register. */
	function v_double
	addsd %xmm0, %xmm0
	ret
	nop
	done v_double

	/* u64 v_call_with_carry(fn, x): calls fn(x) with the carry flag set and all scratch registers filled. */
	function v_call_with_carry
	push %rbp
	.cfi_def_cfa_offset 16
	mov %rdi, %rax
	mov %rsi, %rdi
	mov $0x1111, %r10d
	mov $0x2222, %r11d
	mov $0x3333, %ecx
	stc
	call *%rax
	pop %rbp
	.cfi_def_cfa_offset 8
	ret
	done v_call_with_carry

	.section .rodata
	.balign 8
six:	.quad 6

	.section .note.GNU-stack, "", @progbits
