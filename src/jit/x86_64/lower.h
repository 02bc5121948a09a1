/* SPDX-License-Identifier: MIT */
/*
 * BPF instruction -> x86-64.
 *
 *     R0 rax  R1 rdi  R2 rsi  R3 rdx  R4 rcx  R5 r8        as a C function call wants them: helpers need no moves
 *     R6 rbx  R7 r13  R8 r14  R9 r15  R10 rbp              callee-saved
 *     r9 r10 r11 scratch, r12 ctx in programs that need it everywhere
 *
 * The frame, as much of it as a function needs:
 *
 *     [return address][saved rbp] <- rbp = R10 [BPF stack, depth bytes][saved rbx, r12 - r15] <- rsp
 *
 * A function that calls nothing keeps up to 128 bytes of BPF stack in the red zone below rsp and
 * R10 is rsp itself; lowering never pushes in the middle of a function.
 */
#pragma once

#include "isa/x86_64/writer.h"
#include "jit/build.h"

enum lower_cc_always { LOWER_ALWAYS = 16 }; /* next to enum x86_cc */

enum {
	LOWER_CALLER_SAVED = 1u << X86_RAX | 1u << X86_RCX | 1u << X86_RDX | 1u << X86_RSI | 1u << X86_RDI |
			     1u << X86_R8 | 1u << X86_R9 | 1u << X86_R10 | 1u << X86_R11,
	LOWER_RED_ZONE = 128
};

struct lower {
	struct jit_build *b;
	struct jit_prog *p;
	struct x86_writer w;
	struct jit_func *fn; /* being lowered */
	u32 i;		     /* instruction being lowered */
};

void lower_alu(struct lower *l, const struct bpf_insn *insn);
void lower_rotate(struct lower *l, const struct bpf_insn *insn);
/* dst = dst (/, %) src, by the value of off signed or not. */
void lower_div(struct lower *l, const struct bpf_insn *insn);
void lower_mem(struct lower *l, const struct bpf_insn *insn);
void lower_atomic(struct lower *l, const struct bpf_insn *insn);
void lower_rmw(struct lower *l);
/* Store or atomic operation at i whose source is this constant. */
void lower_mem_imm(struct lower *l, u32 i, s32 imm);
void lower_jump(struct lower *l, const struct bpf_insn *insn);
void lower_call(struct lower *l, const struct bpf_insn *insn);
void lower_packet_load(struct lower *l, const struct bpf_insn *insn);
void lower_ld_imm64(struct lower *l, const struct bpf_insn *insn);
void lower_prologue(struct lower *l);
void lower_epilogue(struct lower *l);
/* The epilogue without its ret. */
void lower_leave(struct lower *l);

/* The machine register of a BPF register, and the same for a register that is about to be
 * written. */
enum x86_reg lower_reg(const struct lower *l, u32 bpf_reg);
enum x86_reg lower_def(struct lower *l, u32 bpf_reg);
/* A machine register is written. */
enum x86_reg lower_touch(struct lower *l, enum x86_reg r);
/* Is this BPF register read after the current instruction? */
bool lower_live(const struct lower *l, u32 bpf_reg);
/* Branch of the current instruction; at most one per instruction. cc may be LOWER_ALWAYS. */
void lower_branch(struct lower *l, u32 cc, u32 target);
/* Image offset of the table entry. */
u64 lower_got(struct lower *l, enum jit_got_kind kind, u32 index);
