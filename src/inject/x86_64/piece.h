/* SPDX-License-Identifier: MIT */
/*
 * The code of pieces (see piece.c). A thread is put behind a `syscall` of it, with a result that has the kernel make the call
 * again; what follows makes of the result what the program is to get:
 *
 *     sum    syscall (the rest of one part); all of it? syscall (the other parts); add what was done before
 *     keep   syscall; the result as it is
 *     wait   syscall; the result that the call had before
 *     ready  ppoll(); ready? the program's own call, from its beginning; else the error of a time that is up
 *
 * and then the arguments as the program left them, and jmp *pc. Of the registers only those change that a system call may
 * change (rax, rcx, r11), and the arithmetic flags, which no compiler takes to survive one.
 */
#pragma once

#include <string.h>

#include "abi/types.h"

#define PIECE_CODE 256u
#define PIECE_SYSCALL_LEN 2u
#define PIECE_JUMP_LEN 6u

enum piece_kind { PIECE_SUM, PIECE_KEEP, PIECE_WAIT, PIECE_READY };

struct piece_code {
	enum piece_kind kind;
	u64 home[6]; /* the program's arguments: rdi, rsi, rdx, r10, r8, r9 */
	u64 pc;	     /* where it goes on */
	s64 nr;	     /* READY: the call that is made */
	s32 done;    /* SUM, WAIT: part already done; READY: -errno */
	s32 first;   /* SUM: length of what the first call is for; 0: there is only one */
	s64 nr2;     /* the second call */
	u64 arg2[6];
	/* out */
	u8 code[PIECE_CODE];
	u32 n;
	u32 pc_at;   /* offset of the word with pc; READY: the next one has the call's address */
};

static inline void piece_put(struct piece_code *p, const void *bytes, u32 n)
{
	memcpy(p->code + p->n, bytes, n);
	p->n += n;
}

/* Without result: a short jump, to be landed. */
static inline u32 piece_jump(struct piece_code *p, u8 op)
{
	const u8 b[2] = {op, 0};

	piece_put(p, b, 2);
	return p->n;
}

static inline void piece_land(struct piece_code *p, u32 from)
{
	p->code[from - 1] = (u8)(p->n - from);
}

static inline void piece_imm32(struct piece_code *p, const char *op, u32 n, s32 imm)
{
	piece_put(p, op, n);
	piece_put(p, &imm, 4);
}

static inline void piece_args(struct piece_code *p, const u64 a[6])
{
	static const char mov[6][2] = {"\x48\xbf", "\x48\xbe", "\x48\xba", "\x49\xba", "\x49\xb8", "\x49\xb9"};

	for (u32 i = 0; i < 6; i++) {
		piece_put(p, mov[i], 2);
		piece_put(p, &a[i], 8);
	}
}

/* rax < 0 ? rax = done : rax += done */
static inline void piece_add(struct piece_code *p, s32 done)
{
	u32 js, end;

	piece_put(p, "\x48\x85\xc0", 3);
	js = piece_jump(p, 0x78);
	piece_imm32(p, "\x48\x05", 2, done);
	end = piece_jump(p, 0xeb);
	piece_land(p, js);
	piece_imm32(p, "\x48\xc7\xc0", 3, done);
	piece_land(p, end);
}

static inline void piece_sum(struct piece_code *p)
{
	u32 jne = 0, end;

	if (!p->first) {
		piece_add(p, p->done);
		return;
	}
	piece_imm32(p, "\x48\x3d", 2, p->first);
	jne = piece_jump(p, 0x75);
	piece_args(p, p->arg2);
	piece_imm32(p, "\xb8", 1, (s32)p->nr2);
	piece_put(p, "\x0f\x05", 2);
	piece_add(p, p->done + p->first);
	end = piece_jump(p, 0xeb);
	piece_land(p, jne);
	piece_add(p, p->done);
	piece_land(p, end);
}

/* Fills p->code. */
static inline void piece_write(struct piece_code *p)
{
	u32 js, jz, end = 0;

	memset(p->code, 0xcc, sizeof(p->code));
	p->n = 0;
	piece_put(p, "\x0f\x05", 2);
	if (p->kind == PIECE_SUM)
		piece_sum(p);
	if (p->kind == PIECE_WAIT)
		piece_imm32(p, "\x48\xc7\xc0", 3, p->done);
	if (p->kind == PIECE_READY) {
		piece_put(p, "\x48\x85\xc0", 3);
		js = piece_jump(p, 0x78);
		jz = piece_jump(p, 0x74);
		piece_args(p, p->home);
		piece_imm32(p, "\xb8", 1, (s32)p->nr);
		end = piece_jump(p, 0xeb);
		piece_land(p, jz);
		piece_imm32(p, "\x48\xc7\xc0", 3, p->done);
		piece_land(p, js);
	}
	piece_args(p, p->home);
	piece_put(p, "\xff\x25\0\0\0\0", 6);
	p->pc_at = p->n;
	piece_put(p, &p->pc, 8);
	if (p->kind == PIECE_READY) {
		const u64 call = p->pc - PIECE_SYSCALL_LEN;

		piece_land(p, end);
		piece_put(p, "\xff\x25\0\0\0\0", 6);
		piece_put(p, &call, 8);
	}
}
