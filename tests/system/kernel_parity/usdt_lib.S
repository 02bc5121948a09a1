/* SPDX-License-Identifier: MIT */
/* A library with a static probe that counts its users: u64 l_usdt(a, b). */
	.text
#include "usdt_site.h"

	.pushsection .probes, "aw", "progbits"
	.balign 2
	.globl l_semaphore
	.type l_semaphore, @object
l_semaphore:
	.zero 2
	.size l_semaphore, 2
	.popsection

	.balign 32
	.globl l_usdt
	.type l_usdt, @function
l_usdt:
	.cfi_startproc
	lea (%rdi,%rsi), %rax
	USDT counted l_semaphore "8@%rdi 8@%rsi"
	add $1, %rax
	USDT counted l_semaphore "8@%rsi 8@%rax"
	mov %rax, %rdx
	mov %rdx, %rax
	ret
	.cfi_endproc
	.size l_usdt, . - l_usdt
	.section .note.GNU-stack, "", @progbits
