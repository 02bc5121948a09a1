/* SPDX-License-Identifier: MIT */
/* A program's ctx is in x23 (jit/aarch64/lower.h), and GCC knows no naked functions here; else as ../x86_64/callback.c. */
#include "payload/callback.h"

__asm__(".text\n\t"
	".globl callback_call\n\t"
	".hidden callback_call\n\t"
	".type callback_call, %function\n"
	"callback_call:\n\t"
	"stp x29, x30, [sp, #-32]!\n\t"
	"mov x29, sp\n\t"
	"str x23, [sp, #16]\n\t"
	"mov x23, x5\n\t"
	"mov x9, x0\n\t"
	"mov x0, x1\n\t"
	"mov x1, x2\n\t"
	"mov x2, x3\n\t"
	"mov x3, x4\n\t"
	"blr x9\n\t"
	"ldr x23, [sp, #16]\n\t"
	"ldp x29, x30, [sp], #32\n\t"
	"ret\n\t"
	".size callback_call, . - callback_call\n");

/* Helpers that hand ctx on as a sixth argument. */
__asm__(".macro with_ctx name, function\n\t"
	".globl \\name\n\t"
	".hidden \\name\n\t"
	".type \\name, %function\n"
	"\\name:\n\t"
	"mov x5, x23\n\t"
	"b \\function\n\t"
	".size \\name, . - \\name\n\t"
	".endm\n\t"
	"with_ctx helper_loop, callback_loop\n\t"
	"with_ctx helper_for_each_map_elem, callback_for_each\n\t"
	"with_ctx helper_user_ringbuf_drain, callback_user_ring_drain\n\t"
	"with_ctx helper_get_task_stack, callback_task_stack\n");

/* bpf_task_pt_regs: of the only task there is, which is ctx. */
__asm__(".globl helper_task_pt_regs\n\t"
	".hidden helper_task_pt_regs\n\t"
	".type helper_task_pt_regs, %function\n"
	"helper_task_pt_regs:\n\t"
	"mov x0, x23\n\t"
	"ret\n\t"
	".size helper_task_pt_regs, . - helper_task_pt_regs\n");
