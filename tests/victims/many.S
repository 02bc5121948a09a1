/* SPDX-License-Identifier: MIT */
/* 50,000 functions f00000 ... f49999, 32 bytes apart; fN(x) = x + N. Their addresses are in manyfuncs[]. */
	.text
	.balign 32
	.irp a, 0, 1, 2, 3, 4
	.irp b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	.irp c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	.irp d, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	.irp e, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	.globl f\a\b\c\d\e
	.type f\a\b\c\d\e, @function
f\a\b\c\d\e:
	endbr64
	push %rbp
	mov %rsp, %rbp
	lea 10000*\a+1000*\b+100*\c+10*\d+\e(%rdi), %rax
	pop %rbp
	ret
	.size f\a\b\c\d\e, . - f\a\b\c\d\e
	.balign 32, 0xcc
	.endr
	.endr
	.endr
	.endr
	.endr

	.section .data.rel.ro, "aw", @progbits
	.balign 8
	.globl manyfuncs
	.type manyfuncs, @object
manyfuncs:
	.set i, 0
	.rept 50000
	.quad f00000 + 32 * i
	.set i, i + 1
	.endr
	.size manyfuncs, . - manyfuncs

	.section .note.GNU-stack, "", @progbits
