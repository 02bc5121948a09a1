/* SPDX-License-Identifier: MIT */
/*
 * Reads x86-64 machine code: what patching needs to know of an instruction, no more. Pure.
 *
 * There are two readers with one answer. x86_read() knows the common encodings by table (a few ns
 * an instruction: whole binaries are swept with it) and asks x86_read_strict() for the rest;
 * x86_read_strict() is Zydis and also refuses bytes that no processor executes. The table accepts
 * some invalid encodings, so a decision to patch rests on the strict reader. Encodings: Intel SDM
 * vol. 2, appendix A.
 */
#pragma once

#include "abi/types.h"

#define X86_INSN_MAX 15u

enum x86_kind {
	X86_K_PLAIN,	/* falls through to the next instruction */
	X86_K_NOP,	/* falls through and does nothing; endbr64 is not a nop */
	X86_K_JMP,	/* jmp rel */
	X86_K_JCC,	/* jcc rel */
	X86_K_LOOP,	/* loop, loope, loopne, jrcxz: rel8 is all they have */
	X86_K_CALL,	/* call rel32 */
	X86_K_XBEGIN,	/* xbegin rel32 */
	X86_K_JMP_IND,	/* jmp r/m */
	X86_K_CALL_IND, /* call r/m */
	X86_K_RET,	/* ret, lret, iret */
	X86_K_STOP,	/* int3, int1, ud0-2, hlt: what follows is not reached */
};

enum x86_map {
	X86_MAP_ONE,
	X86_MAP_0F,
	X86_MAP_0F38,
	X86_MAP_0F3A,
	X86_MAP_VECTOR /* VEX, EVEX, XOP, 3DNow */
};

#define X86_P_66 1u
#define X86_P_67 2u
#define X86_P_F2 4u
#define X86_P_F3 8u
#define X86_P_LOCK 16u
#define X86_P_SEG 32u /* es, cs, ss, ds: no meaning, or a branch hint, or notrack */
#define X86_P_FSGS 64u

struct x86_insn {
	u8 len;
	u8 kind;      /* enum x86_kind */
	u8 map;	      /* enum x86_map */
	u8 prefix;    /* X86_P_* */
	u8 rex;	      /* the REX byte or 0 */
	u8 opcode;    /* last opcode byte */
	u8 op_off;    /* its offset */
	u8 modrm_off; /* 0 = no ModRM byte */
	u8 modrm;
	u8 disp_off;  /* displacement of the memory operand: offset and size, 0 = none */
	u8 disp_len;
	u8 rel_off;   /* relative branch operand: offset and size, 0 = none */
	u8 rel_len;
	bool rip_rel; /* disp is relative to the end of the instruction */
	s32 disp;
	s32 rel;
};

/* Both: true and *ret filled, or false (undecodable, or longer than avail) and *ret undefined.
 * Nothing behind avail is read. */
bool x86_read(const u8 *p, size_t avail, struct x86_insn *ret);
bool x86_read_strict(const u8 *p, size_t avail, struct x86_insn *ret);

/* Control never goes from this instruction to the next one. */
static inline bool x86_ends_flow(const struct x86_insn *i)
{
	return i->kind == X86_K_JMP || i->kind == X86_K_JMP_IND || i->kind == X86_K_RET ||
	       i->kind == X86_K_STOP;
}

/* Absolute target of a relative branch, and address of a RIP-relative operand, of an instruction at
 * addr. */
static inline u64 x86_target(const struct x86_insn *i, u64 addr)
{
	return addr + i->len + (u64)(s64)i->rel;
}

static inline u64 x86_rip_operand(const struct x86_insn *i, u64 addr)
{
	return addr + i->len + (u64)(s64)i->disp;
}

/* What an instruction has to do with rbx (or ebx, bx, bl, bh). */
enum x86_rbx { X86_RBX_UNUSED, X86_RBX_SAVED /* pushed or stored whole */, X86_RBX_USED };
/* `i` is what either reader said of p. Cheap when the answer is obviously "unused". */
enum x86_rbx x86_rbx_use(const u8 *p, const struct x86_insn *i);
