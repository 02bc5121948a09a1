/* SPDX-License-Identifier: MIT */
/*
 * From the bytes of a binary to a plan for each probe site, or a refusal with a name. Pure: the caller hands in the
 * file's bytes and what it knows of it (struct patch_binary_desc, made by util/elf.h); nothing here knows a process.
 */
#pragma once

#include "abi/types.h"

enum patch_form {
	PATCH_REFUSED,
	PATCH_NOP5,   /* the site is one nop of >= 5 bytes: nothing to relocate */
	PATCH_JMP,    /* one instruction of >= 5 bytes is displaced */
	PATCH_JMP_N,  /* several instructions are displaced */
	PATCH_PAD,    /* the window runs into dead padding behind the function */
	PATCH_ISLAND, /* 2-byte short jump to a 5-byte jump in dead padding within +-127 bytes */
	PATCH_NFORMS
};

enum patch_reason { /* why a site is refused; patch_reason_name() gives the word `notrap plan` prints */
	PATCH_OK,
	PATCH_R_NOT_CODE,      /* not in an executable segment, or padding that nothing executes */
	PATCH_R_UNDECODABLE,
	PATCH_R_TOO_SHORT,     /* fewer than 5 bytes and no room near it */
	PATCH_R_JUMP_INSIDE,   /* something jumps into the window */
	PATCH_R_CALL_INSIDE,   /* a call returns into the window */
	PATCH_R_RELOCATE,      /* a displaced instruction cannot be moved (jrcxz, loop, xbegin, rip-relative out of reach) */
	PATCH_R_SIGRETURN,     /* __restore_rt: recognised by its bytes */
	PATCH_R_OVERLAP,       /* another site lies in the window */
	PATCH_R_NO_RETURN_PROBE, /* entry is possible, a return probe is not (returns twice, looks at its return address ...) */
	PATCH_R_BAD_INSN,      /* the kernel refuses it too: int3, hlt, lock prefix ... */
	PATCH_R_DATA_INSIDE,
	PATCH_R_MID_INSN,      /* the site is not the first byte of an instruction */
	PATCH_R_GO,	       /* Go: goroutine stacks have no room for a program */
	PATCH_R_NOT_ENTRY,     /* return probe only: not the first instruction of a function, or a loop jumps back to it */
	PATCH_R_RBX,	       /* return probe only: the function uses rbx without saving it */
	PATCH_NREASONS
};

struct patch_range { u64 lo, hi; }; /* [lo, hi) */

/* What is known of a binary. Addresses are the ELF's own virtual addresses. Arrays belong to the caller and must
 * outlive the struct patch_binary made of it. */
struct patch_segment { /* executable PT_LOAD */
	u64 vaddr, off, size;
	const u8 *bytes; /* the segment's file bytes */
};
struct patch_func { /* sorted by vaddr; aliases are entries of their own */
	u64 vaddr, size;  /* size 0 = unknown */
	const char *name; /* NULL = known from unwind tables only */
	bool ifunc;
	bool fragment;	  /* a piece of a function that is jumped to (.cold): at its start there is no return address */
};
struct patch_binary_desc {
	const struct patch_segment *seg; u32 nseg;   /* executable */
	const struct patch_segment *data; u32 ndata; /* readable, not executable: jump tables */
	const struct patch_func *func; u32 nfunc;    /* from .symtab, .dynsym and .eh_frame */
	const u64 *code_ptr; u32 ncode_ptr;	     /* addresses found in relocations that point into code */
	bool is_go;
	bool fixed; /* not position independent: constants in instructions may be code addresses */
};

struct patch_binary; /* analysis of one binary: all branch targets, functions, padding. Immutable after creation. */

int patch_binary_new(const struct patch_binary_desc *desc, struct patch_binary **ret);
void patch_binary_free(struct patch_binary *b);

#define PATCH_WINDOW_MAX 20 /* 4 bytes + one instruction of 15 is 19 */

struct patch_plan {
	u64 vaddr;	/* of the site */
	u8 form;	/* enum patch_form */
	u8 reason;	/* enum patch_reason when refused */
	u8 wlen;	/* bytes displaced: execution continues at vaddr + wlen */
	u8 patch_len;	/* bytes written at vaddr: 5, or 2 for an island */
	bool entry;	/* the site is a function's first instruction and nothing jumps back to it: flags and red zone are dead */
	u8 ret_reason;	/* PATCH_OK: a call-through return probe is possible here; else why not */
	u8 ninsn;	/* displaced instructions */
	u8 insn_off[8]; /* their offsets in the window */
	u8 orig[PATCH_WINDOW_MAX]; /* the window's bytes */
	u64 island;	/* PATCH_ISLAND: where the 5-byte jump goes (dead bytes, original content island_orig) */
	u8 island_orig[5];
};

/* Plans one site; other_sites (sorted vaddrs, may be NULL) are probed too, so no window may cover them. Always
 * succeeds: a refusal is a plan. */
void patch_plan_site(const struct patch_binary *b, u64 vaddr, const u64 *other_sites, u32 nother, struct patch_plan *ret);

/* The same for a caller who has patched before: no island is chosen that overlaps one of islands[] (sorted addresses, 5
 * bytes each). Two plans that know nothing of each other may choose the same island; a batch passes the islands it
 * has chosen so far. A window in padding never overlaps an island. */
void patch_plan_site_avoiding(const struct patch_binary *b, u64 vaddr, const u64 *other_sites, u32 nother,
			      const u64 *islands, u32 nislands, struct patch_plan *ret);

/* Upper bound of what patch_relocate() writes for this plan. */
u32 patch_relocated_size(const struct patch_plan *p);

/*
 * Writes the displaced instructions so that they do at `to` what they did at `site` (run-time addresses), followed by
 * a jump to site + wlen. new_off[i] gets the offset in out of displaced instruction i (for threads found inside the
 * window). Returns bytes written, -ENOSPC, -ERANGE (a displacement does not reach), -EINVAL.
 */
int patch_relocate(const struct patch_plan *p, u64 site, u64 to, u8 *out, u32 cap, u8 new_off[8]);

const char *patch_form_name(enum patch_form f);   /* "jmp", "jmp-n", "nop5", "pad", "island" */
const char *patch_reason_name(enum patch_reason r); /* "jump-inside" ... */
