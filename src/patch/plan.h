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
	PATCH_EVICT,  /* the same, but the 5-byte jump stands among instructions that were displaced to make room for it */
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
	PATCH_R_BAD_INSN,      /* the kernel refuses it too: int3, hlt, in, out ... */
	PATCH_R_DATA_INSIDE,
	PATCH_R_MID_INSN,      /* the site is not the first byte of an instruction */
	PATCH_R_GO,	       /* Go: what the runtime enters in its own way */
	PATCH_R_GO_FAULT,      /* Go: the instruction may fault in the middle of a function; a copy of it must not */
	PATCH_R_NOT_ENTRY,     /* return probe only: not the first instruction of a function, or a loop jumps back to it */
	PATCH_R_RBX,	       /* return probe only: the function uses rbx without saving it ... */
	PATCH_R_TAIL_JUMP,     /* ... and leaves not only by `ret`, so that those cannot be probed instead */
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
	struct patch_range go_text; /* where the code of Go is, what is outside of it is C; hi = 0: everywhere */
	u64 entry; /* where a program begins: not called, so it has no return address; 0 = none */
	bool dynamic; /* a program that has an interpreter */
	bool walks_stacks; /* has a runtime that reads return addresses from the stack by itself: V8, HotSpot ... */
	bool fixed; /* not position independent: constants in instructions may be code addresses */
};

struct patch_binary; /* analysis of one binary: all branch targets, functions, padding. Immutable after creation. */

int patch_binary_new(const struct patch_binary_desc *desc, struct patch_binary **ret);
void patch_binary_free(struct patch_binary *b);

/* The first instruction at or behind vaddr, padding that is never executed left out. -ENOENT: there is none. */
int patch_binary_next_insn(const struct patch_binary *b, u64 vaddr, u64 *ret);

#define PATCH_BACK_MAX 16   /* a window begins at most so far before its site */
#define PATCH_WINDOW_MAX 32 /* that and one instruction of 15 */
#define PATCH_INSNS_MAX 12
#define PATCH_VICTIM_MAX 24 /* 9 bytes + one instruction of 15 */
#define PATCH_FAR_MAX 10    /* two jumps */

/* Instructions that have to make room for a jump, though nobody asked for a probe on them (PATCH_EVICT). */
struct patch_victim {
	u8 len, ninsn;	/* bytes displaced; instructions */
	u16 guarded;	/* as in struct patch_plan */
	u8 insn_off[PATCH_INSNS_MAX];
	u8 orig[PATCH_VICTIM_MAX];
};

struct patch_plan {
	u64 vaddr;	/* of the site */
	u8 form;	/* enum patch_form */
	u8 reason;	/* enum patch_reason when refused */
	u8 back;	/* the window begins this many bytes before the site: the site alone is too short */
	u8 first;	/* number of the site's instruction among the displaced ones: how many stand before it */
	u8 wlen;	/* bytes displaced: execution continues at vaddr - back + wlen */
	u8 patch_len;	/* bytes written at vaddr - back: 5, or 2 for a short jump */
	u8 far_len;	/* bytes written at island: 0, 5, or 10 = a jump for the displaced instructions there, then ours */
	bool entry;	/* the site is a function's first instruction and nothing jumps back to it: flags and red zone are dead */
	bool go;	/* Go code: not one byte of the stack that is found may be used */
	u8 ret_reason;	/* PATCH_OK: a call-through return probe is possible here; else why not: see patch_function_rets() */
	u8 ninsn;	/* displaced instructions */
	u16 room;	/* patch_relocated_size() */
	u16 guarded;	/* bits: of these instructions the copies are guarded against faults (Go: guard.c) */
	u8 insn_off[PATCH_INSNS_MAX]; /* their offsets in the window */
	u8 orig[PATCH_WINDOW_MAX]; /* the window's bytes */
	u64 island;	/* where the far bytes go ... */
	u8 island_orig[PATCH_FAR_MAX]; /* ... and what stands there */
	struct patch_victim victim; /* PATCH_EVICT: begins at island */
};

/* Where the window begins. */
static inline u64 patch_plan_at(const struct patch_plan *p)
{
	return p->vaddr - p->back;
}

/* Where the site's short jump leads. */
static inline u64 patch_plan_hop(const struct patch_plan *p)
{
	return p->island + p->far_len - 5;
}

/* Plans one site; other_sites (sorted vaddrs, may be NULL) are probed too, so no window may cover them. Always
 * succeeds: a refusal is a plan. */
void patch_plan_site(const struct patch_binary *b, u64 vaddr, const u64 *other_sites, u32 nother, struct patch_plan *ret);

/* The same for a caller who has patched before: nothing is written to taken[] (sorted, disjoint), the places that earlier
 * plans use apart from their sites. Two plans that know nothing of each other may choose the same island. */
void patch_plan_site_avoiding(const struct patch_binary *b, u64 vaddr, const u64 *other_sites, u32 nother,
			      const struct patch_range *taken, u32 ntaken, struct patch_plan *ret);

/* What this plan takes in that sense: up to two ranges; returns their number. */
u32 patch_plan_takes(const struct patch_plan *p, struct patch_range ret[2]);

/*
 * The other form of a return probe, which leaves the stack as it is: a probe on every `ret` of the function at vaddr. Their
 * addresses, sorted, at most cap. PATCH_OK, or why not: PATCH_R_TAIL_JUMP (it leaves in other ways, too),
 * PATCH_R_NO_RETURN_PROBE (also: more than cap), PATCH_R_NOT_ENTRY, PATCH_R_GO, PATCH_R_UNDECODABLE.
 */
enum patch_reason patch_function_rets(const struct patch_binary *b, u64 vaddr, u64 *ret, u32 cap, u32 *ret_n);
#define PATCH_RETS_MAX 512u

/* Upper bound of what patch_relocate() writes for this plan, patch_relocate_head() and _victim() included. */
u32 patch_relocated_size(const struct patch_plan *p);

/*
 * Writes the displaced instructions, from the site's on, so that they do at `to` what they did at `site` (run-time
 * addresses), followed by a jump to what comes behind the window. new_off[i] gets the offset in out of displaced
 * instruction i (for threads found inside the window), from the first-th on. go_words: as in struct region_env. Returns bytes
 * written, -ENOSPC, -ERANGE (a displacement does not reach), -EINVAL.
 */
int patch_relocate(const struct patch_plan *p, u64 site, u64 to, u32 go_words, u8 *out, u32 cap, u16 new_off[PATCH_INSNS_MAX]);
/* The instructions before the site, followed by a jump to `slot`; fills new_off[0..first). Only if p->back. */
int patch_relocate_head(const struct patch_plan *p, u64 site, u64 to, u64 slot, u32 go_words, u8 *out, u32 cap,
			u16 new_off[PATCH_INSNS_MAX]);
/* The victim's instructions; `at` is the victim's run-time address. Only for PATCH_EVICT. */
int patch_relocate_victim(const struct patch_plan *p, u64 at, u64 to, u32 go_words, u8 *out, u32 cap,
			  u16 new_off[PATCH_INSNS_MAX]);

const char *patch_form_name(enum patch_form f);   /* "jmp", "jmp-n", "nop5", "pad", "island", "evict" */
const char *patch_reason_name(enum patch_reason r); /* "jump-inside" ... */
