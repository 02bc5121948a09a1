/* SPDX-License-Identifier: MIT */
/*
 * Writes x86-64 machine code into a buffer. Pure: no I/O, no allocation. Errors are sticky: a
 * buffer that is too small or a displacement that does not fit sets w->error and the caller checks
 * once, at the end. With buf NULL only the length is counted. Opcodes have names here and nowhere
 * else (Intel SDM vol. 2).
 */
#pragma once

#include "abi/types.h"

enum x86_reg {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15
};

enum x86_cc {
	X86_CC_O, X86_CC_NO, X86_CC_B, X86_CC_AE, X86_CC_E, X86_CC_NE, X86_CC_BE, X86_CC_A,
	X86_CC_S, X86_CC_NS, X86_CC_P, X86_CC_NP, X86_CC_L, X86_CC_GE, X86_CC_LE, X86_CC_G
};

/* The eight two-operand ALU instructions share one encoding; this is the /digit. */
enum x86_alu { X86_ADD, X86_OR, X86_ADC, X86_SBB, X86_AND, X86_SUB, X86_XOR, X86_CMP };
enum x86_shift { X86_ROL = 0, X86_ROR = 1, X86_SHL = 4, X86_SHR = 5, X86_SAR = 7 };

struct x86_writer {
	u8 *buf;   /* NULL: count only */
	u32 len;   /* bytes written */
	u32 cap;
	u64 addr;  /* address at which buf[0] will run: base of rel32 and RIP-relative operands */
	int error; /* 0, -ENOSPC (buffer), -ERANGE (displacement) */
	/* NULL, or room for rip_cap offsets: where RIP-relative displacements stand (4 bytes each). */
	u32 *rip_at;
	u32 nrip, rip_cap;
};

void x86_init(struct x86_writer *w, void *buf, u32 cap, u64 addr);
/* Address of the next byte. */
u64 x86_here(const struct x86_writer *w);

void x86_byte(struct x86_writer *w, u8 b);
void x86_bytes(struct x86_writer *w, const void *p, u32 n);
void x86_u32(struct x86_writer *w, u32 v);
void x86_u64(struct x86_writer *w, u64 v);
/* Pad to a multiple of n (a power of two, relative to addr) with `fill`. */
void x86_align(struct x86_writer *w, u32 n, u8 fill);

/* size is 1, 2, 4 or 8 bytes. Loads of 1, 2 bytes zero-extend, of 4 bytes clear the upper half. */
void x86_load(struct x86_writer *w, u32 size, enum x86_reg dst, enum x86_reg base, s32 disp);
/* Sign-extending load to 64 bits; size 1, 2 or 4. */
void x86_load_sx(struct x86_writer *w, u32 size, enum x86_reg dst, enum x86_reg base, s32 disp);
void x86_store(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, enum x86_reg src);
void x86_store_imm(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, s32 imm);
void x86_lea(struct x86_writer *w, enum x86_reg dst, enum x86_reg base, s32 disp);
/* RIP-relative: target is an absolute address. */
void x86_lea_rip(struct x86_writer *w, enum x86_reg dst, u64 target);
void x86_load_rip(struct x86_writer *w, enum x86_reg dst, u64 target); /* mov dst, [rip + x] (8 bytes) */
void x86_call_rip(struct x86_writer *w, u64 target);			/* call [rip + x] */
void x86_jmp_rip(struct x86_writer *w, u64 target);			/* jmp [rip + x] */

void x86_mov(struct x86_writer *w, bool w64, enum x86_reg dst, enum x86_reg src);
/* Shortest encoding that leaves dst == imm in all 64 bits. */
void x86_mov_imm(struct x86_writer *w, enum x86_reg dst, u64 imm);
void x86_alu(struct x86_writer *w, enum x86_alu op, bool w64, enum x86_reg dst, enum x86_reg src);
void x86_alu_imm(struct x86_writer *w, enum x86_alu op, bool w64, enum x86_reg dst, s32 imm);
/* op [base + disp], reg / imm; size 1, 2, 4, 8; lock adds the prefix. */
void x86_alu_mem(struct x86_writer *w, enum x86_alu op, u32 size, bool lock, enum x86_reg base, s32 disp,
		 enum x86_reg src);
void x86_alu_mem_imm(struct x86_writer *w, enum x86_alu op, u32 size, bool lock, enum x86_reg base, s32 disp, s32 imm);
void x86_test(struct x86_writer *w, bool w64, enum x86_reg a, enum x86_reg b);
void x86_shift_imm(struct x86_writer *w, enum x86_shift op, bool w64, enum x86_reg dst, u8 imm);
/* BMI2: SHLX, SHRX, SARX: dst = src shifted by the low bits of count. */
void x86_shift_reg(struct x86_writer *w, enum x86_shift op, bool w64, enum x86_reg dst, enum x86_reg src,
		   enum x86_reg count);
/* BMI2: dst = src rotated to the right by imm. */
void x86_rorx(struct x86_writer *w, bool w64, enum x86_reg dst, enum x86_reg src, u8 imm);
void x86_shift_cl(struct x86_writer *w, enum x86_shift op, bool w64, enum x86_reg dst);

void x86_push(struct x86_writer *w, enum x86_reg r);
void x86_pop(struct x86_writer *w, enum x86_reg r);
void x86_push_mem(struct x86_writer *w, enum x86_reg base, s32 disp);
void x86_pop_mem(struct x86_writer *w, enum x86_reg base, s32 disp);
void x86_ret(struct x86_writer *w);
void x86_jmp_reg(struct x86_writer *w, enum x86_reg r);
void x86_call_reg(struct x86_writer *w, enum x86_reg r);
/* rel32 forms; target is an absolute address. */
void x86_jmp(struct x86_writer *w, u64 target);
void x86_call(struct x86_writer *w, u64 target);
void x86_jcc(struct x86_writer *w, enum x86_cc cc, u64 target);
/* Forward branches: returns a mark; x86_patch_here() makes it land at the current position. */
u32 x86_jcc_fwd(struct x86_writer *w, enum x86_cc cc);
u32 x86_jmp_fwd(struct x86_writer *w);
void x86_patch_here(struct x86_writer *w, u32 mark);

/* lahf; seto al - and its inverse add al, 0x7f; sahf: all six status flags through ax, without
 * popfq's 4 ns. */
void x86_flags_to_ax(struct x86_writer *w);
void x86_flags_from_ax(struct x86_writer *w);
void x86_pushfq(struct x86_writer *w);
/* mov dst, fs:[disp] */
void x86_load_fs(struct x86_writer *w, enum x86_reg dst, s32 disp);
void x86_rdfsbase(struct x86_writer *w, enum x86_reg dst);
void x86_imul(struct x86_writer *w, bool w64, enum x86_reg dst, enum x86_reg src);

void x86_imul_imm(struct x86_writer *w, bool w64, enum x86_reg dst, enum x86_reg src, s32 imm);

/* One-operand group: X86_DIV/X86_IDIV divide rdx:rax, quotient to rax, remainder to rdx. */
enum x86_unary { X86_NOT = 2, X86_NEG = 3, X86_MUL = 4, X86_DIV = 6, X86_IDIV = 7 };
void x86_unary(struct x86_writer *w, enum x86_unary op, bool w64, enum x86_reg r);
/* Sign bit of rax (eax) to all of rdx (edx). */
void x86_cqo(struct x86_writer *w, bool w64);
void x86_test_imm(struct x86_writer *w, bool w64, enum x86_reg r, s32 imm);
void x86_bswap(struct x86_writer *w, bool w64, enum x86_reg r);
/* Swaps the two low bytes; the rest stays. */
void x86_bswap16(struct x86_writer *w, enum x86_reg r);
/* Register forms of the extending loads; size is the source's: 1, 2 (and 4 for movsx with w64). */
void x86_movzx(struct x86_writer *w, u32 size, enum x86_reg dst, enum x86_reg src);
void x86_movsx(struct x86_writer *w, bool w64, u32 size, enum x86_reg dst, enum x86_reg src);
/* op dst, [rip + x] (8 bytes); target is an absolute address. */
void x86_alu_rip(struct x86_writer *w, enum x86_alu op, enum x86_reg dst, u64 target);
void x86_leave(struct x86_writer *w);

/* Memory <-> register, atomic: lock xadd, lock cmpxchg (compares with rax), xchg. size 1, 2, 4,
 * 8. */
void x86_xadd(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, enum x86_reg src);
void x86_cmpxchg(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, enum x86_reg src);
void x86_xchg(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, enum x86_reg src);
/* dst = IA32_TSC_AUX, on Linux node << 12 | cpu. */
void x86_rdpid(struct x86_writer *w, enum x86_reg dst);

/* 2-byte branches: to an absolute address (-ERANGE when out of reach) and forward, by mark as
 * above. */
void x86_jmp8(struct x86_writer *w, u64 target);
void x86_jcc8(struct x86_writer *w, enum x86_cc cc, u64 target);
u32 x86_jmp8_fwd(struct x86_writer *w);
u32 x86_jcc8_fwd(struct x86_writer *w, enum x86_cc cc);
void x86_patch8_here(struct x86_writer *w, u32 mark);

/* General escape for instructions with a ModRM memory operand: [lock] [66] REX opcode(s) ModRM SIB
 * disp. */
void x86_op_mem(struct x86_writer *w, bool w64, const u8 *opcode, u32 nopcode, u32 reg, enum x86_reg base, s32 disp);
void x86_op_reg(struct x86_writer *w, bool w64, const u8 *opcode, u32 nopcode, u32 reg, u32 rm);
