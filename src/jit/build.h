/* SPDX-License-Identifier: MIT */
/*
 * The seam between the compiler and an architecture. The image while it is being made: what no
 * architecture has an opinion on (table, where code stands, widths of branches, what the image says
 * of itself) is here and in build.c; a backend is one function that writes all code once.
 *
 * Code is written several times: first to learn sizes, assuming long branches; then again while
 * branches shrink; at last into the buffer. Sizes only ever get smaller, so a branch that fits once
 * fits for ever.
 */
#pragma once

#include "jit/prog.h"

enum jit_width { JIT_LONG, JIT_SHORT, JIT_NONE }; /* of a branch; NONE: a jump to where we are anyway */

struct jit_build {
	struct jit_prog *p;
	const struct jit_backend *arch;
	u32 code_off;  /* where code starts in the image: known in the last pass, 0 before */
	u32 len;       /* bytes of code that the last pass wrote */
	u32 *addr;     /* [n + 1] where an instruction's code starts, from code_off */
	u32 *jump_end; /* [n] where its branch ends, 0 = it has none */
	u8 *width;     /* [n] enum jit_width of its branch */
	u8 *saves;     /* [n] bytes that the branch gets shorter by, if it does */
	struct jit_got *got;
	u32 ngot, got_cap;
	u32 tail_entry;	 /* from code_off */
	u32 exits;	 /* of the last pass */
	u32 exit_end;	 /* where the last one ends; a byte like ret may as well be a displacement */
	u32 *rip_at;	 /* the last pass notes them (jit_image.rip_at), if this is not NULL */
	u32 nrip, rip_cap;
	bool uses_cookie, uses_func_ip, calls_helper;
	int error;
};

struct jit_backend {
	/* Writes the code of all functions to buf, or counts only (buf NULL). Errors are sticky in b->error. Sets
	 * addr[], jump_end[], len, entry/frame/written of functions, and what else it learns. */
	void (*pass)(struct jit_build *b, u8 *buf, u32 cap);
	u32 caller_saved; /* machine registers that a call may change */
	u32 call_stack;	  /* bytes of stack that a call takes by itself */
	s32 reach_lo, reach_hi; /* distances from its end that the short form of a branch can cross */
	bool inlinable;	  /* its code can be moved: rip_at is all that has to be fixed */
	bool tells_cpu;	  /* the CPU number can be had without a call (jit_input.has_rdpid) */
};

extern const struct jit_backend jit_x86_64, jit_aarch64;

/* Everything behind the analysis: 0 and the image, or -errno and *ret untouched. */
int jit_build(struct jit_prog *p, const struct jit_backend *arch, struct jit_image *ret);

/* For backends. Image offset of the table entry, made if there is none yet. */
u64 jit_build_got(struct jit_build *b, enum jit_got_kind kind, u32 index);
/* The branch of instruction i ends here; its short form is this many bytes shorter. */
void jit_build_branch(struct jit_build *b, u32 i, u32 end, u8 saves);
