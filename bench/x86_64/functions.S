/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark probes. Three functions that differ in their first instruction, each alone in
 * its cache line: the kernel emulates push, turns a 5-byte nop into a call, and single-steps
 * endbr64. And 50,000 small ones.
 */
.macro FUNCTION name align
	.balign	\align
	.globl	\name
	.type	\name, @function
\name:
.endm
.macro END name
	.size	\name, . - \name
.endm

	.text
FUNCTION b_push 64
	push	%rbp
	mov	%rsp, %rbp
	xor	%eax, %eax
	pop	%rbp
	ret
END b_push

FUNCTION b_nop5 64
	.byte	0x0f, 0x1f, 0x44, 0x00, 0x00	/* nopl, 5 bytes */
	push	%rbp
	mov	%rsp, %rbp
	xor	%eax, %eax
	pop	%rbp
	ret
END b_nop5

FUNCTION b_endbr64 64
	endbr64
	push	%rbp
	mov	%rsp, %rbp
	xor	%eax, %eax
	pop	%rbp
	ret
END b_endbr64

	.altmacro
.macro SMALL n
FUNCTION m_\n 32
	push	%rbp
	mov	%rsp, %rbp
	xor	%eax, %eax
	pop	%rbp
	ret
END m_\n
.endm

	.balign	4096
	.globl	many_start
many_start:
	.set	i, 0
	.rept	50000
	SMALL	%i
	.set	i, i + 1
	.endr
	.section .note.GNU-stack, "", @progbits
