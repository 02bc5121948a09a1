/* SPDX-License-Identifier: MIT */
/*
 * BPF instruction -> AArch64 (ARMv8.0: no LSE atomics).
 *
 *     R0 x7   R1 x0  R2 x1  R3 x2  R4 x3  R5 x4     arguments as a C function wants them; its result moves x0 -> x7
 *     R6 x19  R7 x20  R8 x21  R9 x22                callee-saved
 *     R10     sp + a constant: no register          x9 - x12, x16 scratch; x23 ctx in programs that need it everywhere
 *
 * The frame, as much of it as a function needs; sp does not move between prologue and epilogue:
 *
 *     [saved x22 ..., x30, x29] <- x29 (if it calls) [BPF stack, a multiple of 16] <- sp
 *                                                   R10 = sp + area ^
 *
 * There is no red zone. Functions return in x0, so that callbacks are C functions.
 *
 * Code reaches the table with a literal load and functions with adr, both within 1 MiB. Programs that may be larger
 * (more than ARM_NEAR instructions) add a distance instead.
 */
#pragma once

#include "isa/aarch64/writer.h"
#include "jit/build.h"

enum {
	ARM_CALLER_SAVED = 0x3ffff, /* x0 - x17; x18 belongs to the platform and is never touched */
	ARM_NEAR = 8192 /* instructions that never take 1 MiB: 128 bytes each */
};

static const enum a64_reg ARM_R0 = A64_X7, ARM_CTX = A64_X23, ARM_T0 = A64_X9, ARM_T1 = A64_X10, ARM_T2 = A64_X11,
			  ARM_T3 = A64_X12, ARM_T4 = A64_X16; /* T: scratch */

struct arm_lower {
	struct jit_build *b;
	struct jit_prog *p;
	struct a64_writer w;
	struct jit_func *fn; /* being lowered */
	u32 i;		     /* instruction being lowered */
	bool far;	     /* table and functions may be further away than 1 MiB */
};

/* An operand in memory: [reg + off], or [reg + ARM_T0]. */
struct arm_mem {
	enum a64_reg reg;
	s64 off;
	bool indexed;
};

void arm_alu(struct arm_lower *l, const struct bpf_insn *insn);
void arm_mem(struct arm_lower *l, const struct bpf_insn *insn);
void arm_atomic(struct arm_lower *l, const struct bpf_insn *insn);
/* Load, operation, store fused. */
void arm_rmw(struct arm_lower *l);
/* Store or atomic operation at i whose source is this constant. */
void arm_mem_imm(struct arm_lower *l, u32 i, s32 imm);
void arm_jump(struct arm_lower *l, const struct bpf_insn *insn);
void arm_call(struct arm_lower *l, const struct bpf_insn *insn);
void arm_packet_load(struct arm_lower *l, const struct bpf_insn *insn);
void arm_ld_imm64(struct arm_lower *l, const struct bpf_insn *insn);
void arm_prologue(struct arm_lower *l);
void arm_epilogue(struct arm_lower *l);
/* The epilogue without result and ret. */
void arm_leave(struct arm_lower *l);

/* Bytes of BPF stack in the frame: R10 = sp + this. */
u32 arm_area(const struct arm_lower *l);
/* The machine register of a BPF register other than R10; the same for one that is about to be written. */
enum a64_reg arm_reg(u32 bpf_reg);
enum a64_reg arm_def(struct arm_lower *l, u32 bpf_reg);
/* A machine register is written. */
enum a64_reg arm_touch(struct arm_lower *l, enum a64_reg r);
/* The register that has the value of a BPF register: its own; R10 is computed into `scratch`. */
enum a64_reg arm_value(struct arm_lower *l, u32 bpf_reg, enum a64_reg scratch);
/* scratch = imm; register 31 without an instruction if it is zero. */
enum a64_reg arm_number(struct arm_lower *l, enum a64_reg scratch, u64 imm);
/* rd = rn + v, 64 bits; rn may be sp. Uses ARM_T1 if v is large. */
void arm_add(struct arm_lower *l, enum a64_reg rd, enum a64_reg rn, s64 v);
/* Operand [bpf_reg + off]; may use ARM_T0. */
struct arm_mem arm_operand(struct arm_lower *l, u32 bpf_reg, s32 off, u32 size);
void arm_load(struct arm_lower *l, u32 size, enum a64_reg rt, const struct arm_mem *m);
void arm_store(struct arm_lower *l, u32 size, enum a64_reg rt, const struct arm_mem *m);
/* rd = word of the table; uses ARM_T3. */
void arm_load_got(struct arm_lower *l, enum a64_reg rd, enum jit_got_kind kind, u32 index);

/* Branch of the current instruction, at most one: always, by flags, by a register that is (not) zero. */
void arm_branch(struct arm_lower *l, u32 target);
void arm_branch_cc(struct arm_lower *l, enum a64_cc cc, u32 target);
void arm_branch_zero(struct arm_lower *l, bool zero, bool w64, enum a64_reg r, u32 target);
/* A branch within an instruction's code: to be patched. */
u32 arm_forward(struct arm_lower *l, enum a64_cc cc);
