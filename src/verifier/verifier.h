/* SPDX-License-Identifier: MIT */
/*
 * Proves that a program cannot harm the process that runs it: abstract interpretation along every path, as the
 * kernel's verifier. What cannot be proven is refused. Pure: memory comes from malloc, no I/O, no globals.
 */
#pragma once

#include "abi/types.h"
#include "ebpf/insn.h"

/* What the verifier must know of a map; index = the number that LD_IMM64 src 1/2 carries in imm of its first half. */
struct verifier_map {
	u32 type, key_size, value_size, max_entries, map_flags;
	const u8 *frozen; /* value of a frozen one-entry array (.rodata): its loads are constants; else NULL */
	u32 inner; /* of a map of maps: index in verifier_prog.maps of what its elements look like; 0 = none */
};

enum verifier_mem { /* what a load, store or atomic touches: proven on every path */
	VMEM_NONE, VMEM_STACK, VMEM_CTX, VMEM_MAP, VMEM_PERCPU_MAP, VMEM_RINGBUF, VMEM_MIXED,
	VMEM_ARENA /* of the arena map_index; never mixed with others */
};

struct verifier_insn { /* one per instruction: facts that hold on every path; the JIT relies on them */
	u8 mem;		/* enum verifier_mem */
	bool seen;	/* some path reaches it; else it is dead code */
	bool map_known;	/* helper call whose map argument (R1) is always map_index */
	bool narrow;	/* arithmetic with an address in an arena: of 32 bits, whatever the instruction says */
	bool key_known;	/* map_lookup on an array with the same constant u32 key on every path */
	u32 map_index;
	u32 key;
	s32 stack_depth; /* at a function's first instruction: bytes of stack this function uses (0..512) */
};

struct vstate; /* verifier/state.h */

/* A function of the program that its BTF describes. */
struct verifier_func {
	u32 start;	  /* first instruction */
	bool is_static;
	const char *name; /* valid while the verifier runs */
};

struct verifier_prog {
	const struct bpf_insn *insns; /* LD_IMM64 map references already carry map indexes in imm */
	u32 n;
	u32 prog_type;	     /* BPF_PROG_TYPE_*; KPROBE, PERF_EVENT and RAW_TRACEPOINT may read ctx */
	u32 expected_attach;
	bool sleepable;
	/* For tests: sees the state before every instruction of the walk. Paths are then cut off only where all of
	 * a state, not just what mattered, lies inside an earlier one: what a run finds lies inside a state seen. */
	void (*observe)(void *arg, u32 insn, const struct vstate *st);
	void *observe_arg;
	bool all_bodies; /* for tests: as if every helper and kernel function could be executed */
	bool allow_write; /* bpf_override_return() and bpf_probe_write_user() are there */
	bool not_gpl; /* the licence is none that the kernel takes for compatible with its own */
	/* What a program cannot name, such as the shape of inner maps, follows behind the nmaps-th. */
	const struct verifier_map *maps;
	u32 nmaps;
	const struct verifier_func *funcs; /* by rising start; NULL: the loader gave none */
	u32 nfuncs;
	/* Calls of kernel functions carry enum ebpf_kfunc in imm, or EBPF_KFUNC_N + index into this. */
	char *const *unknown_kfuncs;
	u32 nunknown_kfuncs;
};

struct verifier_log {
	u32 level;   /* BPF log_level bits; 0 = no text */
	char *buf;   /* NUL-terminated text so far; owned by the caller of verifier_check, free() it */
	size_t len, cap;
};

struct verifier_result {
	struct verifier_insn *insn; /* [n], verifier_result_deinit() frees */
	u64 ctx_read; /* bit i: u64 number i of ctx may be read (KPROBE: enum nt_pt_reg); all ones if a helper may read ctx */
	u32 ctx_end; /* bytes of ctx up to the last one that a load or store touches */
	u32 helpers[8]; /* bitmap of helper ids called */
	u32 stack_total; /* worst sum of stack over a call chain, bytes */
	bool uses_ringbuf;
	bool uses_may_goto;
	bool uses_tail_call;
};

/* 0, or -errno of BPF_PROG_LOAD (-EINVAL, -EACCES, -E2BIG, -ENOMEM) with the kernel's phrases in log. */
int verifier_check(const struct verifier_prog *prog, struct verifier_log *log, struct verifier_result *ret);
void verifier_result_deinit(struct verifier_result *r);
/* What was proven of a program is true of the instructions as this leaves them: before it is compiled or interpreted. */
void verifier_rewrite(const struct verifier_result *r, struct bpf_insn *insns, u32 n);
