/* SPDX-License-Identifier: MIT */
/* BPF instructions for tests, written as in the verifier's log: MOVI(R1, 5) is r1 = 5, LD(8, R0,
 * R1, 16) r0 = *(u64 *)(r1 + 16). */
#pragma once

#include "ebpf/insn.h"

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

#define INSN(c, d, s, o, i)                                                                        \
	((struct bpf_insn){                                                                        \
	    .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (s32)(i)})
#define SZ(n) ((n) == 1 ? BPF_B : (n) == 2 ? BPF_H : (n) == 4 ? BPF_W : BPF_DW)

#define MOV(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVI(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV32(d, s) INSN(BPF_ALU | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVI32(d, i) INSN(BPF_ALU | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOVSX(bits, d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, bits, 0)
#define ALU(op, d, s) INSN(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define ALUI(op, d, i) INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define ALU32(op, d, s) INSN(BPF_ALU | (op) | BPF_X, d, s, 0, 0)
#define ALUI32(op, d, i) INSN(BPF_ALU | (op) | BPF_K, d, 0, 0, i)
#define ADDI(d, i) ALUI(BPF_ADD, d, i)
#define LD(n, d, s, o) INSN(BPF_LDX | BPF_MEM | SZ(n), d, s, o, 0)
#define LDSX(n, d, s, o) INSN(BPF_LDX | BPF_MEMSX | SZ(n), d, s, o, 0)
#define ST(n, d, o, s) INSN(BPF_STX | BPF_MEM | SZ(n), d, s, o, 0)
#define STI(n, d, o, i) INSN(BPF_ST | BPF_MEM | SZ(n), d, 0, o, i)
#define ATOMIC(n, op, d, o, s) INSN(BPF_STX | BPF_ATOMIC | SZ(n), d, s, o, op)
#define JA(o) INSN(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define JAL(i) INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, i)
#define J(op, d, s, o) INSN(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JI(op, d, i, o) INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define J32(op, d, s, o) INSN(BPF_JMP32 | (op) | BPF_X, d, s, o, 0)
#define JI32(op, d, i, o) INSN(BPF_JMP32 | (op) | BPF_K, d, 0, o, i)
#define CALL(id) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, id)
#define CALLF(rel) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, rel)
#define KCALL(name) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, EBPF_KFUNC_##name)
#define MAY_GOTO(o) INSN(BPF_JMP | EBPF_JCOND, 0, 0, o, 0)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
/* two instructions each */
#define LD64(d, v)                                                                                 \
	INSN(BPF_LD | BPF_IMM | BPF_DW, d, 0, 0, (u32)(v)), INSN(0, 0, 0, 0, (u64)(v) >> 32)
#define LDABS(n, i) INSN(BPF_LD | BPF_ABS | SZ(n), 0, 0, 0, i)
#define LDIND(n, s, i) INSN(BPF_LD | BPF_IND | SZ(n), 0, s, 0, i)
#define LDMAP(d, m) INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_FD, 0, m), INSN(0, 0, 0, 0, 0)
#define LDVAL(d, m, o)                                                                             \
	INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_VALUE, 0, m), INSN(0, 0, 0, 0, o)
#define LDFUNC(d, rel) INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_FUNC, 0, rel), INSN(0, 0, 0, 0, 0)
#define RET(v) MOVI(R0, v), EXIT()
