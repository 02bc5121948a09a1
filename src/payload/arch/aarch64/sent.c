/* SPDX-License-Identifier: MIT */
/* The system call that sends what a program has left behind: ../x86_64/sent.c. */
#include "payload/payload.h"

__asm__(".text\n\t"
	".globl sent_call\n\t"
	".type sent_call, %function\n"
	"sent_call:\n\t"
	"mov x8, x0\n\t"
	"mov x0, x1\n\t"
	"mov x1, x2\n\t"
	"mov x2, x3\n\t"
	"svc #0\n\t"
	".globl sent_pc\n"
	"sent_pc:\n\t"
	"ret\n\t"
	".size sent_call, . - sent_call\n\t");
