/* SPDX-License-Identifier: MIT */
/* The instruction model: struct bpf_insn and opcode names of <linux/bpf.h>, plus what 6.1's header
 * lacks (RFC 9669). */
#pragma once

#include <linux/bpf.h>

#include "abi/types.h"

#ifndef BPF_MEMSX
#define BPF_MEMSX 0x80
#endif
#ifndef BPF_PSEUDO_MAP_FD
#define BPF_PSEUDO_MAP_FD 1
#endif
#ifndef BPF_JMP32
#define BPF_JMP32 0x06
#endif
#define EBPF_JCOND 0xe0 /* not in every <linux/bpf.h> */
#define EBPF_LOAD_ACQ 0x100
#define EBPF_STORE_REL 0x110
#define EBPF_MAX_STACK 512
#define EBPF_MAX_INSNS 1000000
#define EBPF_MAX_FRAMES 8

/* First half of the only two-slot instruction (imm64, map, map value ...). */
static inline bool ebpf_insn_is_ld64(const struct bpf_insn *in)
{
	return in->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static inline bool ebpf_insn_is_jump_class(const struct bpf_insn *in)
{
	return BPF_CLASS(in->code) == BPF_JMP || BPF_CLASS(in->code) == BPF_JMP32;
}

/*
 * R0 = 1, 2 or 4 bytes of the packet of the context in R6, big-endian, at imm (ABS) or src + imm (IND). Otherwise like a
 * helper call: R1-R5 are gone. A packet that ends before that ends the function, and R0 = 0.
 */
static inline bool ebpf_insn_is_packet_load(const struct bpf_insn *in)
{
	return BPF_CLASS(in->code) == BPF_LD && (BPF_MODE(in->code) == BPF_ABS || BPF_MODE(in->code) == BPF_IND) &&
	       BPF_SIZE(in->code) != BPF_DW;
}

/* bpf-to-bpf call: the callee starts at i + imm + 1. */
static inline bool ebpf_insn_is_subprog_call(const struct bpf_insn *in)
{
	return in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_CALL;
}

static inline bool ebpf_insn_is_helper_call(const struct bpf_insn *in)
{
	return in->code == (BPF_JMP | BPF_CALL) && in->src_reg == 0;
}

static inline bool ebpf_insn_is_exit(const struct bpf_insn *in)
{
	return in->code == (BPF_JMP | BPF_EXIT);
}

/* JA with a 16-bit offset or gotol with a 32-bit one. */
static inline bool ebpf_insn_is_goto(const struct bpf_insn *in)
{
	return ebpf_insn_is_jump_class(in) && BPF_OP(in->code) == BPF_JA;
}

/* Jumps when the counter of its function's loops is spent, else goes on. */
static inline bool ebpf_insn_is_may_goto(const struct bpf_insn *in)
{
	return in->code == (BPF_JMP | EBPF_JCOND) && in->src_reg == 0;
}

static inline bool ebpf_insn_is_kfunc_call(const struct bpf_insn *in)
{
	return in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_KFUNC_CALL;
}

/* First half of LD_IMM64 of a function: it starts at i + imm + 1. */
static inline bool ebpf_insn_is_func_load(const struct bpf_insn *in)
{
	return ebpf_insn_is_ld64(in) && in->src_reg == BPF_PSEUDO_FUNC;
}

/* addr_space_cast: MOV that turns an address in an arena from what user space has (1) into what loads take (0), or back. */
#define EBPF_CAST_OFF 1
#define EBPF_CAST_KERN 1 /* imm: to 0, from 1: the low half */
#define EBPF_CAST_USER (1 << 16)
static inline bool ebpf_insn_is_cast(const struct bpf_insn *in)
{
	return in->code == (BPF_ALU64 | BPF_MOV | BPF_X) && in->off == EBPF_CAST_OFF;
}

/* A jump with two successors. */
static inline bool ebpf_insn_is_cond(const struct bpf_insn *in)
{
	u8 op = BPF_OP(in->code);

	return ebpf_insn_is_jump_class(in) && op != BPF_JA && op != BPF_CALL && op != BPF_EXIT;
}

/* Where the jump or bpf-to-bpf call at i goes. No bounds check. */
static inline s64 ebpf_insn_target(const struct bpf_insn *in, u32 i)
{
	bool wide = ebpf_insn_is_subprog_call(in) || ebpf_insn_is_func_load(in) || in->code == (BPF_JMP32 | BPF_JA);

	return (s64)i + 1 + (wide ? in->imm : in->off);
}

static inline bool ebpf_insn_is_atomic(const struct bpf_insn *in)
{
	return BPF_CLASS(in->code) == BPF_STX && BPF_MODE(in->code) == BPF_ATOMIC;
}

/* Bytes that a load, store or atomic touches. */
static inline u32 ebpf_insn_size(const struct bpf_insn *in)
{
	switch (BPF_SIZE(in->code)) {
	case BPF_B: return 1;
	case BPF_H: return 2;
	case BPF_W: return 4;
	default: return 8;
	}
}
