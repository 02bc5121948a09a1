/* SPDX-License-Identifier: MIT */
/*
 * Compiles a verified program, once, to position-independent machine code. The image has a table of
 * 64-bit words in front (the GOT), filled per process by the broker; the code reads them relative to
 * itself. The compiled function is
 *     u64 prog(void *ctx)      by the C ABI of the architecture
 * with ctx = struct pt_regs and struct nt_run right below it (abi/payload.h). Pure.
 */
#pragma once

#include "abi/map.h"
#include "abi/types.h"
#include "ebpf/insn.h"
#include "verifier/verifier.h"

enum jit_arch { JIT_X86_64, JIT_AARCH64 }; /* whose machine code to write; any, on any machine */

enum jit_got_kind {
	JIT_GOT_MAP_VIEW, /* address of the map's struct nt_map_view */
	JIT_GOT_MAP_DATA, /* view.base + view.data_off */
	JIT_GOT_HELPER,	  /* address of helper `index` */
};

struct jit_got {
	u8 kind; /* enum jit_got_kind */
	u32 index; /* map index or helper id */
};

struct jit_input {
	u8 arch; /* enum jit_arch */
	const struct bpf_insn *insns;
	u32 n;
	const struct verifier_result *facts;
	const struct nt_map_view *maps; /* geometry only; base is not read */
	u32 nmaps;
	bool has_bmi2;	/* x86-64: shifts by any register */
	bool has_rdpid; /* the machine has RDPID: smp_processor_id and per-CPU addresses are inlined */
};

struct jit_image {
	u8 *code;	 /* [got | code]; free with jit_image_deinit() */
	u32 size;	 /* bytes, table included */
	u32 entry;	 /* offset of the function's first instruction */
	u32 tail_entry;	 /* the same for who comes by a tail call: their number is not set back */
	struct jit_got *got;
	u32 ngot;	 /* table entries at offset 0, 8 bytes each */
	u32 clobbers;	 /* caller-saved registers it may change: bit per machine register (enum x86_reg, a64_reg); everything caller-saved if it calls a helper */
	u32 stack;	 /* bytes of stack it uses, return address of helpers excluded */
	bool calls;	 /* calls at least one helper */
	bool uses_cookie; /* reads struct nt_run.cookie */
	bool uses_func_ip;
	/* One function, no call, one exit: the last byte is its ret, so the code without it can stand
	 * in the middle of other code. x86-64 only. */
	bool inlinable;
	u32 *rip_at; /* [nrip] offsets of displacements that reach the table: moving has to fix them */
	u32 nrip;
	u32 *insn_off;	 /* [n] offset of each BPF instruction in code, for symbolisation and tests */
};

/* 0, -ENOMEM, -EINVAL (an instruction the verifier should not have let through), -E2BIG. */
int jit_compile(const struct jit_input *in, struct jit_image *ret);
void jit_image_deinit(struct jit_image *img);
