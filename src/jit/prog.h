/* SPDX-License-Identifier: MIT */
/*
 * What the compiler knows of a program before it writes machine code; the same for every
 * architecture.
 *
 *     jit_prog_init   check every instruction, find the functions               prog.c
 *     jit_flow        forward: what is reached, which registers are not NULL,
 *                     which point into the own stack frame                      flow.c
 *     jit_live        backward: which registers and stack words are read later  live.c
 *     jit_fuse        several instructions that become one                      fuse.c
 *     jit_build       sizes, branches, table, the image                         build.c
 *     backend         one machine instruction sequence per BPF instruction      x86_64/, aarch64/
 *
 * The passes talk through one struct jit_note per BPF instruction. Nothing is ever moved: an
 * instruction is lowered at its place, as something shorter, or not at all, so branch targets and
 * insn_off[] stay simple.
 */
#pragma once

#include "abi/bpf.h"
#include "jit/jit.h"

enum {
	JIT_NREGS = 11,
	JIT_FP = 10, /* R10 */
	JIT_CALLER_REGS = 0x3f, /* R0-R5: a call changes them */
	JIT_ARG_REGS = 0x3e,
	JIT_FN_LOOKUP = 1, /* helper ids the compiler knows */
	JIT_FN_SMP_ID = 8,
	JIT_FN_TAIL_CALL = 12,
	JIT_FN_SEND_SIGNAL = 109,
	JIT_FN_SEND_SIGNAL_THREAD = 117,
	JIT_FN_GET_TASK_STACK = 141,
	JIT_FN_FOR_EACH_MAP_ELEM = 164,
	JIT_FN_FUNC_IP = 173,
	JIT_FN_COOKIE = 174,
	JIT_FN_TASK_PT_REGS = 175,
	JIT_FN_FIND_VMA = 180,
	JIT_FN_LOOP = 181,
	JIT_FN_USER_RINGBUF_DRAIN = NT_BPF_FUNC_USER_RINGBUF_DRAIN,
	JIT_ATOMIC_LOAD_ACQ = 0x100, /* not in every <linux/bpf.h> */
	JIT_ATOMIC_STORE_REL = 0x110,
	JIT_MAY_GOTO = 0xe5, /* BPF_JMP | BPF_JCOND: jumps when the function has done it often enough */
	JIT_MAY_GOTO_MAX = 1 << 23
};

enum jit_action {
	JIT_PLAIN,
	JIT_SKIP,     /* unreachable, or nobody reads what it computes, or fused into an instruction before it */
	JIT_GOTO,     /* a conditional branch that is always taken */
	JIT_LOOKUP,   /* bpf_map_lookup_elem on an array or per-CPU array, inlined */
	JIT_NULL,     /* the same with a constant key that is out of range: R0 = 0 */
	JIT_SMP_ID,   /* bpf_get_smp_processor_id, inlined */
	JIT_COOKIE,   /* bpf_get_attach_cookie, bpf_get_func_ip: loads from below ctx */
	JIT_FUNC_IP,
	JIT_IS_RETURN, /* kfuncs without a body: bpf_session_is_return, bpf_session_cookie: loads from below ctx */
	JIT_SESSION,
	JIT_ARG,      /* R0 = R1 */
	JIT_KEY,      /* store of a lookup's key: goes to R0 instead of memory */
	JIT_LEA,      /* MOV and ADD fused */
	JIT_IMM,      /* MOV of a constant and the store or atomic operation that uses it */
	JIT_RMW,      /* LDX, ALU, STX on one address fused */
	JIT_UNLESS,   /* a branch that jumps over a goto: goes where that goes, if its condition does not hold */
	JIT_ROT	      /* two shifts of copies and their OR: a rotation to the left */
};

enum jit_key { /* where an inlined lookup finds its key */
	JIT_KEY_CONST, /* facts->insn[].key */
	JIT_KEY_PTR,   /* [R2] */
	JIT_KEY_STACK, /* [R10 + key_off] */
	JIT_KEY_R0     /* put there by a JIT_KEY */
};

enum jit_stack_state { JIT_STACK_UNKNOWN, JIT_STACK_BUSY, JIT_STACK_KNOWN };
enum { JIT_NOT_STACK = 0x7fff, JIT_MAYBE_STACK = -0x8000 };

struct jit_flow { /* before an instruction */
	s16 fp_off[JIT_NREGS]; /* register = R10 + this; or JIT_NOT_STACK: no pointer into the own frame; or _MAYBE_ */
	u16 nonnull;	       /* registers that are not zero */
	bool reached;
};

/* Words of 4 bytes of the frame: bit i is [R10 - 512 + 4 i]. */
struct jit_words {
	u64 w[2];
};

struct jit_live { /* before an instruction */
	struct jit_words words;
	u16 regs;
};

struct jit_note {
	u8 action; /* enum jit_action */
	u8 key;	   /* enum jit_key */
	bool leader; /* a branch lands here */
	s16 key_off;
	u32 mid, last; /* JIT_RMW: ALU and STX. JIT_LEA, JIT_IMM, JIT_UNLESS: last is the second one. JIT_ROT: last is the OR, mid the count. JIT_LOOKUP: last is the fused NULL check, or 0 */
};

struct jit_func {
	u32 first, end;	 /* instructions [first, end) */
	bool reached;
	bool escapes;	 /* a pointer into the frame is stored or passed on: every stack word counts as read */
	bool uses_fp;	 /* after all passes */
	bool calls;	 /* after all passes: has a call instruction */
	bool counts;	 /* has a may_goto: its counter is the lowest word of the stack */
	u32 depth;	 /* bytes of BPF stack, a multiple of 8 */
	/* filled by lowering */
	u32 written;	 /* machine registers it changes */
	u32 entry;	 /* offset of its prologue */
	u32 frame;	 /* bytes of stack it takes */
	u32 stack;	 /* with all that it calls */
	u8 stack_state;	 /* enum jit_stack_state of `stack` */
};

struct jit_prog {
	const struct jit_input *in;
	bool tells_cpu; /* in->has_rdpid, if the backend has use for it */
	const struct bpf_insn *insns;
	u32 n;
	struct jit_note *note; /* [n] */
	struct jit_flow *flow; /* [n] */
	struct jit_live *live; /* [n] */
	struct jit_func *func;
	u32 nfuncs;
	u32 *work; /* [n] scratch of jit_flow */
	bool keeps_ctx; /* a register (x86-64: r12) is ctx in all functions: something needs it that does not get it */
	bool tail_calls;
	bool signals;	/* may send signals, which are delivered when it has ended */
};

/* What one instruction reads and writes, under the action its note gives it. */
struct jit_effect {
	u16 use, def;
	bool side;	      /* must be kept even if nobody reads def and wr */
	bool reads_all;	      /* may read any word of the frame */
	struct jit_words rd;  /* words of the own frame it may read */
	struct jit_words wr;  /* it only writes these words (!side) */
	struct jit_words kill; /* words it overwrites entirely */
};

int jit_prog_init(struct jit_prog *p, const struct jit_input *in, bool tells_cpu);
void jit_prog_deinit(struct jit_prog *p);
int jit_flow(struct jit_prog *p);
void jit_live(struct jit_prog *p);
void jit_fuse(struct jit_prog *p);

void jit_effect_get(const struct jit_prog *p, u32 i, struct jit_effect *ret);
/* Live after instruction i: what its successors read. */
void jit_live_out(const struct jit_prog *p, u32 i, struct jit_live *ret);
bool jit_reg_live_out(const struct jit_prog *p, u32 i, u32 bpf_reg);
bool jit_is_dead(const struct jit_prog *p, u32 i, const struct jit_live *out);
bool jit_words_meet(const struct jit_words *a, const struct jit_words *b);
bool jit_words_any(const struct jit_words *a);

struct jit_func *jit_func_of(const struct jit_prog *p, u32 i);
/* Successors within the function, folded branches considered; 0..2 of them, the fall-through
 * last. */
u32 jit_successors(const struct jit_prog *p, u32 i, u32 ret[2]);
bool jit_is_wide(const struct bpf_insn *insn);	  /* LD_IMM64: two slots */
bool jit_is_branch(const struct bpf_insn *insn);  /* JA or conditional */
bool jit_is_cond(const struct bpf_insn *insn);
bool jit_is_helper(const struct bpf_insn *insn);
bool jit_is_kfunc(const struct bpf_insn *insn);
bool jit_is_local_call(const struct bpf_insn *insn);
bool jit_is_func_addr(const struct bpf_insn *insn); /* LD_IMM64 of the address of a function */
u32 jit_target(const struct bpf_insn *insn, u32 i); /* of a branch, a local call, an address */
u32 jit_size(const struct bpf_insn *insn);	  /* bytes a memory instruction touches */
const struct nt_map_view *jit_lookup_map(const struct jit_prog *p, u32 i);
