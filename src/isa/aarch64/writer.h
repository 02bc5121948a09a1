/* SPDX-License-Identifier: MIT */
/*
 * Writes AArch64 machine code (ARMv8.0-A, little endian) into a buffer. Pure: no I/O, no allocation. Errors are
 * sticky: a buffer that is too small or an operand that does not fit sets w->error and the caller checks once, at
 * the end. With buf NULL only the length is counted. Encodings have names here and nowhere else (Arm ARM, DDI 0487).
 */
#pragma once

#include "abi/types.h"

enum a64_reg { /* number 31 is the stack pointer or zero, depending on the instruction */
	A64_X0, A64_X1, A64_X2, A64_X3, A64_X4, A64_X5, A64_X6, A64_X7, A64_X8, A64_X9, A64_X10,
	A64_X11, A64_X12, A64_X13, A64_X14, A64_X15, A64_X16, A64_X17, A64_X18, A64_X19, A64_X20,
	A64_X21, A64_X22, A64_X23, A64_X24, A64_X25, A64_X26, A64_X27, A64_X28, A64_FP, A64_LR,
	A64_SP, A64_ZR = 31
};

enum a64_cc {
	A64_EQ, A64_NE, A64_CS, A64_CC, A64_MI, A64_PL, A64_VS, A64_VC,
	A64_HI, A64_LS, A64_GE, A64_LT, A64_GT, A64_LE
};

/* Values are the opcode's field. */
enum a64_arith { A64_ADD, A64_ADDS, A64_SUB, A64_SUBS };
enum a64_logic { A64_AND, A64_ORR, A64_EOR, A64_ANDS };
enum a64_two { A64_UDIV = 2, A64_SDIV = 3, A64_LSL = 8, A64_LSR = 9, A64_ASR = 10, A64_ROR = 11 };

struct a64_writer {
	u8 *buf;   /* NULL: count only */
	u32 len;   /* bytes written */
	u32 cap;
	u64 addr;  /* address at which buf[0] will run: base of what is PC-relative */
	int error; /* 0, -ENOSPC (buffer), -ERANGE (branch or literal too far), -EINVAL (operand without encoding) */
};

void a64_init(struct a64_writer *w, void *buf, u32 cap, u64 addr);
/* Address of the next instruction. */
u64 a64_here(const struct a64_writer *w);
void a64_word(struct a64_writer *w, u32 insn);

/* rd = rn op rm. ADDS, SUBS set flags; with rd = A64_ZR: cmn, cmp. Register 31 is zero. */
void a64_arith(struct a64_writer *w, enum a64_arith op, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm);
/* The same with a number; register 31 is sp (rd of the forms that set flags: zero). */
bool a64_arith_fits(u64 imm); /* 12 bits, or 12 bits and 12 zeros below */
void a64_arith_imm(struct a64_writer *w, enum a64_arith op, bool w64, enum a64_reg rd, enum a64_reg rn, u64 imm);
/* rd = rn + sign-extended low half of rm, all 64 bits. */
void a64_add_sxtw(struct a64_writer *w, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm);
/* rd = rn + rm, 64 bits; rd and rn may be sp. */
void a64_add_sp(struct a64_writer *w, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm);
/* ANDS with rd = A64_ZR: tst. */
void a64_logic(struct a64_writer *w, enum a64_logic op, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm);
/* A number is possible if it is one run of ones, rotated, the same in each 2, 4, ... 64 bits; w64 false: of 32 bits. */
bool a64_logic_fits(bool w64, u64 imm);
void a64_logic_imm(struct a64_writer *w, enum a64_logic op, bool w64, enum a64_reg rd, enum a64_reg rn, u64 imm);
void a64_mov(struct a64_writer *w, bool w64, enum a64_reg rd, enum a64_reg rm); /* neither is sp */
/* As few instructions as it takes to leave rd == imm in all 64 bits: 1 to 4. */
void a64_mov_imm(struct a64_writer *w, enum a64_reg rd, u64 imm);
/* The same for a signed number, always with two. */
void a64_mov_s32(struct a64_writer *w, enum a64_reg rd, s32 imm);

void a64_two(struct a64_writer *w, enum a64_two op, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm);
/* rd = ra + rn * rm, ra - rn * rm */
void a64_madd(struct a64_writer *w, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm, enum a64_reg ra);
void a64_msub(struct a64_writer *w, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm, enum a64_reg ra);
/* A64_LSL, A64_LSR, A64_ASR by n, below the width. */
void a64_shift_imm(struct a64_writer *w, enum a64_two op, bool w64, enum a64_reg rd, enum a64_reg rn, u32 n);
/* rd = rn rotated to the right by n, below the width. */
void a64_ror_imm(struct a64_writer *w, bool w64, enum a64_reg rd, enum a64_reg rn, u32 n);
/* The low 1, 2 (, 4) bytes of rn, with zeros or with their sign. */
void a64_uxt(struct a64_writer *w, u32 size, enum a64_reg rd, enum a64_reg rn);
void a64_sxt(struct a64_writer *w, bool w64, u32 size, enum a64_reg rd, enum a64_reg rn);
/* Bytes of a half word each (2), of the low word (4), of all (8) in reverse order. */
void a64_rev(struct a64_writer *w, u32 size, enum a64_reg rd, enum a64_reg rn);

/* [rn + off] of 1, 2, 4, 8 bytes; rn may be sp, rt may be zero. Loads clear what they do not load; _sx: sign in all
 * 64 bits, size 1, 2, 4. */
bool a64_mem_fits(u32 size, s64 off);
void a64_load(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, s64 off);
void a64_load_sx(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, s64 off);
void a64_store(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, s64 off);
/* [rn + rm] */
void a64_load_reg(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, enum a64_reg rm);
void a64_load_sx_reg(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, enum a64_reg rm);
void a64_store_reg(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, enum a64_reg rm);
/* Two registers of 8 bytes; off a multiple of 8 in -512 .. 504. pre: rn += off first; post: afterwards. */
void a64_stp(struct a64_writer *w, enum a64_reg rt, enum a64_reg rt2, enum a64_reg rn, s32 off);
void a64_ldp(struct a64_writer *w, enum a64_reg rt, enum a64_reg rt2, enum a64_reg rn, s32 off);
void a64_stp_pre(struct a64_writer *w, enum a64_reg rt, enum a64_reg rt2, enum a64_reg rn, s32 off);
void a64_ldp_post(struct a64_writer *w, enum a64_reg rt, enum a64_reg rt2, enum a64_reg rn, s32 off);
/* PC-relative, within 1 MiB; target is an absolute address. */
void a64_load_lit(struct a64_writer *w, enum a64_reg rt, u64 target); /* 8 bytes, target a multiple of 4 */
void a64_adr(struct a64_writer *w, enum a64_reg rd, u64 target);

/* Exclusive loads and stores of [rn]: rs = 0 if it was stored. acq, rel: ordered. Size 1, 2, 4, 8, aligned. */
void a64_ldxr(struct a64_writer *w, u32 size, bool acq, enum a64_reg rt, enum a64_reg rn);
void a64_stxr(struct a64_writer *w, u32 size, bool rel, enum a64_reg rs, enum a64_reg rt, enum a64_reg rn);
void a64_ldar(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn);
void a64_stlr(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn);
void a64_dmb_ish(struct a64_writer *w);

/* Branches; target is an absolute address, within 128 MiB; of conditional ones within 1 MiB. */
void a64_b(struct a64_writer *w, u64 target);
void a64_bl(struct a64_writer *w, u64 target);
void a64_bcc(struct a64_writer *w, enum a64_cc cc, u64 target);
void a64_cbz(struct a64_writer *w, bool w64, enum a64_reg rt, u64 target);
void a64_cbnz(struct a64_writer *w, bool w64, enum a64_reg rt, u64 target);
void a64_br(struct a64_writer *w, enum a64_reg rn);
void a64_blr(struct a64_writer *w, enum a64_reg rn);
void a64_ret(struct a64_writer *w);
/* Makes the branch at this offset (a64_writer.len before it was written; any target) go to the next instruction. */
void a64_patch_here(struct a64_writer *w, u32 mark);
