/* SPDX-License-Identifier: MIT */
/*
 * Compiles a program, maps the image into the test process as a broker would into a target, and
 * runs it with every register filled with a pattern, so that a clobbered register is seen. Also
 * runs it in the interpreter.
 */
#pragma once

#include <linux/bpf.h>

#include "abi/payload.h"
#include "ebpf/interp.h"
#include "jit/jit.h"

#define I(c, d, s, o, i) ((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (s32)(i) })
#define MOV64(d, s) I(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV64I(d, i) I(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ALU64(op, d, s) I(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define ALU64I(op, d, i) I(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define ALU32(op, d, s) I(BPF_ALU | (op) | BPF_X, d, s, 0, 0)
#define ALU32I(op, d, i) I(BPF_ALU | (op) | BPF_K, d, 0, 0, i)
#define LDX(size, d, s, o) I(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define LDSX(size, d, s, o) I(BPF_LDX | BPF_MEMSX | (size), d, s, o, 0)
#define STX(size, d, o, s) I(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define ST(size, d, o, i) I(BPF_ST | BPF_MEM | (size), d, 0, o, i)
#define ATOMIC(size, op, d, o, s) I(BPF_STX | BPF_ATOMIC | (size), d, s, o, op)
#define JMPI(op, d, i, o) I(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define JMPX(op, d, s, o) I(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JA(o) I(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define CALL(id) I(BPF_JMP | BPF_CALL, 0, 0, 0, id)
#define CALL_LOCAL(o) I(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, o)
#define CALL_KFUNC(id) I(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, id)
#define MAY_GOTO(o) I(BPF_JMP | 0xe0, 0, 0, o, 0)
#define LD_FUNC(d, o) I(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_FUNC, 0, o), I(0, 0, 0, 0, 0)
#define LD_ABS(size, i) I(BPF_LD | BPF_ABS | (size), 0, 0, 0, i)
#define LD_IND(size, s, i) I(BPF_LD | BPF_IND | (size), 0, s, 0, i)
#define EXIT() I(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define LD64(d, v) I(BPF_LD | BPF_IMM | BPF_DW, d, 0, 0, (u64)(v)), I(0, 0, 0, 0, (u64)(v) >> 32)
#define LD_MAP(d, index) I(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_FD, 0, index), I(0, 0, 0, 0, 0)
#define LD_MAP_VALUE(d, index, o) I(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_VALUE, 0, index), I(0, 0, 0, 0, o)

enum { JT_TAILS = 4, JT_RUN = 8, JT_MAX_INSNS = 4096, JT_MAX_MAPS = 8, JT_CTX_BYTES = 168, JT_MAP_BYTES = 1 << 16 };

/* A program with everything the compiler is told about it. */
struct jt {
	struct bpf_insn insn[JT_MAX_INSNS];
	struct verifier_insn fact[JT_MAX_INSNS];
	u32 n;
	struct nt_map_view map[JT_MAX_MAPS];
	u32 nmaps;
	bool no_rdpid, no_bmi2;
	u64 ctx[JT_RUN + JT_CTX_BYTES / 8]; /* struct nt_run, then pt_regs */
	/* after jt_compile() */
	struct jit_image img;
	u8 *text;     /* mapped, executable */
	size_t text_size;
};

/* Where tail calls to index 0, 1 ... go; 0 = nowhere. How often signals were delivered. */
extern u64 jt_tail_target[JT_TAILS], jt_delivered;

void jt_init(struct jt *t, const struct bpf_insn *insn, u32 n);
/* Adds an array or per-CPU array (ncpus > 1) with zeroed memory; returns its index. */
u32 jt_map(struct jt *t, u32 type, u32 value_size, u32 max_entries, u32 ncpus);
/* Facts of the helper call at i: R1 is this map; key: constant or -1. */
void jt_fact_lookup(struct jt *t, u32 i, u32 map, s64 key);
int jt_compile(struct jt *t);
void jt_deinit(struct jt *t);

/* Runs the compiled code; true if every register that must survive did (what did not goes to
 * *ret_bad as a bit mask). */
u64 jt_run(struct jt *t, u32 *ret_bad);
int jt_interp(struct jt *t, u64 *ret_r0);
/* Both, from the same state of the maps: do R0 and the maps agree, do registers survive? If not,
 * says why. The thread must stay on its CPU for per-CPU maps. */
bool jt_agree(struct jt *t, u64 *ret_r0);
/* The helpers of jt_run() and jt_interp(): 1 is the lookup, 5 mixes its arguments, 6 hashes R2
 * bytes at R1. */
const char *jt_hex(const struct jt *t, char *buf, size_t size);
