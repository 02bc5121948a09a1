/* SPDX-License-Identifier: MIT */
/*
 * Windows of every kind. A case starts at case_NAME; every way out goes through EXIT, which notes where control
 * arrived. Only code in here is compared: the copy jumps back to what follows its window.
 */
.macro EXIT id
	movl $\id, exit_id(%rip)
	jmp common_exit
.endm
.macro CASE name
	.p2align 4
	.globl case_\name
	.hidden case_\name
case_\name:
.endm

	.text
CASE push_pop
	push %rbp
	mov %rsp, %rbp
	push %r12
	pop %rdx
	EXIT 1
CASE endbr
	endbr64
	push %rbx
	EXIT 1
CASE nop5
	.byte 0x0f, 0x1f, 0x44, 0, 0
	EXIT 1
CASE alu
	sub $0x28, %rsp
	xor %eax, %eax
	EXIT 1
CASE rip_load
	mov memory+8(%rip), %rax
	EXIT 1
CASE rip_store
	mov %rcx, memory+16(%rip)
	EXIT 1
CASE rip_store_imm
	movl $0x12345678, memory+24(%rip)
	EXIT 1
CASE rip_store_imm8
	movb $0x5a, memory+33(%rip)
	EXIT 1
CASE rip_lea
	lea memory+40(%rip), %rdi
	EXIT 1
CASE rip_cmp
	cmpq $-3, memory+48(%rip)
	EXIT 1
CASE rip_sse
	movups memory+32(%rip), %xmm0
	movups %xmm0, memory+64(%rip)
	EXIT 1
CASE jcc
	jz 1f
	dec %rcx
	EXIT 1
1:	EXIT 2
CASE jcc_long
	.byte 0x0f, 0x8c
	.long 1f - (. + 4)
	EXIT 1
1:	EXIT 2
CASE jcc_last
	test %rcx, %rcx
	js 1f
	EXIT 1
1:	EXIT 2
CASE jmp_short
	dec %rdx
	jmp 1f
	EXIT 1
1:	EXIT 2
CASE jmp_long
	.byte 0xe9
	.long 1f - (. + 4)
	EXIT 1
1:	EXIT 2
CASE jmp_reg
	lea 1f(%rip), %rax
	jmp *%rax
	EXIT 1
1:	EXIT 2
CASE jmp_reg_inside
	inc %rdx
	jmp *%r11
	EXIT 1
CASE jmp_rip
	jmp *target_ptr(%rip)
	EXIT 1
CASE jrcxz
	jrcxz 1f
	dec %rcx
	EXIT 1
1:	EXIT 2
CASE jecxz
	jecxz 1f
	inc %rdx
	EXIT 1
1:	EXIT 2
CASE loop
	inc %rdx
	loop 1f
	EXIT 1
1:	EXIT 2
CASE loope
	loope 1f
	inc %rdx
	EXIT 1
1:	EXIT 2
CASE loopne
	loopne 1f
	inc %rdx
	EXIT 1
1:	EXIT 2
CASE call
	call callee
	EXIT 1
CASE call_after_sub
	sub $8, %rsp
	call callee
	EXIT 1
CASE call_reg
	dec %rdx
	call *%r11
	EXIT 1
CASE call_rip
	call *callee_ptr(%rip)
	EXIT 1
CASE call_mem
	inc %rcx
	call *(%r10)
	EXIT 1
CASE call_stack
	inc %rcx
	call *8(%rsp)
	EXIT 1
CASE call_stack_0
	inc %rcx
	call *(%rsp)
	EXIT 1
CASE call_stack_far
	push %rax
	call *0x80(%rsp)
	EXIT 1
CASE call_stack_index
	lea 0(,%r9,1), %r9
	call *(%rsp,%r9,8)
	EXIT 1
CASE call_r12
	inc %rcx
	call *8(%r12)
	EXIT 1
CASE ret
	dec %rdx
	ret
	EXIT 1
CASE ret_imm
	dec %rdx
	ret $16
	EXIT 1
CASE leave
	lea -16(%rbp), %rsp
	leave
	EXIT 1
CASE setcc
	setc %al
	adc %rdx, %rcx
	EXIT 1
CASE pushfq
	pushfq
	pop %rax
	std
	cld
	EXIT 1
CASE xmm
	movq %xmm0, %rax
	EXIT 1
CASE high_byte
	mov %ah, %bh
	add %dl, %ch
	EXIT 1
CASE syscall
	mov $39, %al
	syscall
	dec %rdx
	EXIT 1

/* Leaves what it found on the stack: the return address is compared with the rest of the stack. */
	.p2align 4
callee:
	pushfq
	add $3, %r8
	popfq
	ret
	.p2align 4
	.globl jump_target
	.hidden jump_target
jump_target:
	EXIT 7

	.data
	.p2align 4
	.globl callee_ptr
	.hidden callee_ptr
callee_ptr: .quad callee, callee
target_ptr: .quad jump_target

/* u64 run(const u64 in[17], u64 out[17], code): rax..r15, flags; code is entered by a jump. */
	.text
	.globl run_code
	.hidden run_code
	.type run_code, @function
run_code:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, host_sp(%rip)
	movq %rsp, %xmm0	/* a value of our own: what the compiler left there differs from run to run */
	mov %rsi, host_out(%rip)
	mov %rdx, host_code(%rip)
	mov %rdi, %rax
	push 128(%rax)
	popfq
	mov 8(%rax), %rcx
	mov 16(%rax), %rdx
	mov 24(%rax), %rbx
	mov 32(%rax), %rsp
	mov 40(%rax), %rbp
	mov 48(%rax), %rsi
	mov 56(%rax), %rdi
	mov 64(%rax), %r8
	mov 72(%rax), %r9
	mov 80(%rax), %r10
	mov 88(%rax), %r11
	mov 96(%rax), %r12
	mov 104(%rax), %r13
	mov 112(%rax), %r14
	mov 120(%rax), %r15
	mov (%rax), %rax
	jmp *host_code(%rip)
common_exit:
	mov %rax, scratch(%rip)
	mov host_out(%rip), %rax
	mov %rcx, 8(%rax)
	mov %rdx, 16(%rax)
	mov %rbx, 24(%rax)
	mov %rsp, 32(%rax)
	mov %rbp, 40(%rax)
	mov %rsi, 48(%rax)
	mov %rdi, 56(%rax)
	mov %r8, 64(%rax)
	mov %r9, 72(%rax)
	mov %r10, 80(%rax)
	mov %r11, 88(%rax)
	mov %r12, 96(%rax)
	mov %r13, 104(%rax)
	mov %r14, 112(%rax)
	mov %r15, 120(%rax)
	mov host_sp(%rip), %rsp
	pushfq
	pop 128(%rax)
	mov scratch(%rip), %rcx
	mov %rcx, (%rax)
	cld
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	mov exit_id(%rip), %eax
	ret
	.size run_code, . - run_code

	.bss
	.p2align 4
	.globl memory
	.hidden memory
memory: .skip 128
exit_id: .skip 8
host_sp: .skip 8
host_out: .skip 8
host_code: .skip 8
scratch: .skip 8
	.section .note.GNU-stack, "", @progbits
