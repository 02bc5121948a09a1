/* SPDX-License-Identifier: MIT */
/*
 * The code that finishes a call which came back with part of its work done (see finish.c):
 *
 *         syscall                    ; the rest; the thread is put behind it, with -ERESTARTSYS as its result
 *         test %rax, %rax
 *         js 1f
 *         add $done, %rax            ; the sum is what the program gets
 *         jmp 2f
 *     1:  mov $done, %rax            ; no more was possible: the part is the result, as without a stop
 *     2:  movabs $buf, %rsi          ; arguments as the program left them
 *         movabs $count, %rdx
 *         jmp *0(%rip)
 *         .quad pc
 *
 * Of the registers only those change that a system call may change (rax, rcx, r11), and the arithmetic flags, which no
 * compiler takes to survive one.
 */
#pragma once

#include <string.h>

#include "abi/types.h"

#define FINISH_CODE_LEN 64u

struct finish_code {
	u64 pc;	   /* where the program goes on */
	u64 buf;   /* its second argument */
	u64 count; /* its third */
	u32 done;  /* part already done, at most INT32_MAX */
};

static inline u8 *finish_put(u8 *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

static inline void finish_write(const struct finish_code *f, u8 ret[FINISH_CODE_LEN])
{
	u8 code[FINISH_CODE_LEN], *p = code;

	memset(code, 0xcc, sizeof(code));
	p = finish_put(p, "\x0f\x05"	     /* syscall */
			  "\x48\x85\xc0"     /* test %rax,%rax */
			  "\x78\x08"	     /* js 1f */
			  "\x48\x05", 9);    /* add $imm32,%rax */
	p = finish_put(p, &f->done, 4);
	p = finish_put(p, "\xeb\x07", 2);    /* jmp 2f */
	p = finish_put(p, "\x48\xc7\xc0", 3); /* 1: mov $imm32,%rax */
	p = finish_put(p, &f->done, 4);
	p = finish_put(p, "\x48\xbe", 2); /* 2: movabs $imm64,%rsi */
	p = finish_put(p, &f->buf, 8);
	p = finish_put(p, "\x48\xba", 2); /* movabs $imm64,%rdx */
	p = finish_put(p, &f->count, 8);
	p = finish_put(p, "\xff\x25\0\0\0\0", 6); /* jmp *0(%rip) */
	finish_put(p, &f->pc, 8);
	memcpy(ret, code, sizeof(code));
}
