/* SPDX-License-Identifier: MIT */
/* For elf.c: a function that begins with a push; what compilers make of a landing pad that a cold piece begins with, seen
 * from rsp and from rbp. */
	.text
	.macro piece label, insn, cfi:vararg
	.globl \label
	.hidden \label
\label:
	.cfi_startproc
	\insn
	\cfi
	endbr64
	ud2
	.cfi_endproc
	.endm

	piece elf_test_push, "push %rbx", .cfi_def_cfa_offset 16
	piece elf_test_pad, nop, .cfi_def_cfa_offset 48
	piece elf_test_pad_rbp, nop, .cfi_def_cfa %rbp, 16
	.section .note.GNU-stack, "", @progbits
