/* SPDX-License-Identifier: MIT */
/*
 * Builds a code region: everything that the patched sites of one batch need, as bytes for a given address in the
 * target. Pure: the broker finds room, writes the bytes, then writes the jumps.
 *
 *     [words: gates, program entries, payload functions]
 *     [dispatchers, exits]    one pair per distinct consumer list ("shape")
 *     [thunks]                return probes: call body; jmp exit      <- the unwinder knows these
 *     [eh_frame_hdr, eh_frame]
 *     [ledger]                struct nt_ledger_site per place that is written
 *     [slots]                 meta; call dispatcher; displaced instructions; jmp back; copies of what else is displaced
 *
 * A slot is never changed after it was published: another consumer list means another slot in another region, and
 * the site's jump is turned to it. A thread inside an old slot finishes there; a call that has yet to return is
 * reported to the list as it is at that time (struct nt_slot_meta, newer and exit: the only words that change).
 */
#pragma once

#include "abi/payload.h"
#include "patch/plan.h"

/* A short program whose machine code may stand in the middle of other code: no call, one exit at the end. */
struct region_inline {
	const u8 *code;	     /* without the final ret */
	u32 len;
	const u32 *rip_at;   /* [nrip] offsets in code of displacements that reach into the table ... */
	const u32 *rip_word; /* ... and which word of it */
	u32 nrip;
	const u64 *word;     /* [nwords] the table */
	u32 nwords;
};

struct region_consumer { /* one program on a list; addresses are the target's */
	u64 gate;	 /* shared u32: 0 = the link is off */
	u64 local_gate;	 /* per-process u32 of a link with a pid filter, or 0 */
	u64 entry;	 /* the compiled program */
	u64 ctx_read;	 /* bit per enum nt_pt_reg */
	u32 clobbers;	 /* bit per enum x86_reg: caller-saved registers the program may change */
	bool needs_ctx;	 /* the first argument matters (reads pt_regs, or a helper is called with it) */
	bool uses_cookie, uses_func_ip;
	bool at_return;  /* runs at return, else at entry */
	bool at_ret;	 /* runs at the site, which is a `ret`, as at the return of the function */
	bool session;	 /* runs at entry, and at return of the calls for which it returned 0 at entry */
	bool uses_session; /* a program for sessions: asks for its call's cookie and which side this is */
	bool overrides;	 /* may say NT_CTX_OVERRIDDEN; only at entries of functions, not in Go code */
	u64 stats;	 /* struct nt_prog_stats that the program's runs are counted in, or 0 */
	u64 key;	 /* session: names the consumer in struct nt_session; never used twice */
	const struct region_inline *inlined; /* or NULL: entry is called */
};

struct region_shape { /* a consumer list in the order of running */
	const struct region_consumer *consumer;
	u32 n;
};

struct region_site {
	const struct patch_plan *plan;
	u64 addr;	   /* run-time address of the site */
	u32 shape;
	const u64 *cookie; /* one per consumer of the shape, then the function's address for each consumer with at_ret */
	int error;	   /* out: 0, or -ERANGE: its displaced instructions do not reach from here; no slot */
	u32 slot_off;	   /* out: slot's code from the region's base */
	u32 meta_off;	   /* out: its struct nt_slot_meta from the region's base */
	u32 jump_off;	   /* out: where the site's jump leads: the slot, or the copy of what stands before the site */
	u32 body_off;	   /* out: relocated instructions from the region's base, from the site's on */
	u32 victim_off;	   /* out: PATCH_EVICT: the victim's relocated instructions */
	u16 new_off[PATCH_INSNS_MAX];    /* out: displaced instruction i is at body_off (those before the site: jump_off) + new_off[i] */
	u16 victim_new_off[PATCH_INSNS_MAX];
};

/* Where a thread found inside the window (or the victim) has to go on, from the region's base; addr = its run-time
 * address. 0 = not inside, or at no instruction. */
u32 region_moved(const struct region_site *s, u64 addr);
/* The copy of the displaced instruction at addr, the site's own included: one that has begun already, and will be begun anew, is
 * no hit. From the region's base, 0 = there is none. */
u32 region_copy(const struct region_site *s, u64 addr);
u32 region_moved_victim(const struct region_site *s, u64 victim, u64 addr);

#define REGION_GO_STACK_SHIFT 14
struct region_env { /* the process */
	u64 fn_ret_slow, fn_row_slow, fn_ret_deep; /* run-time addresses in the payload */
	u64 fn_session_open, fn_session_keep, fn_session_at, fn_session_more, fn_stats_run;
	u64 rows; /* the table, and one row more that is nobody's */
	u32 row_bits;
	u64 go_stacks; /* one of 1 << REGION_GO_STACK_SHIFT bytes for each row; 0: no site of Go code gets a slot (-ERANGE) */
	u32 go_words; /* of a thread, for hits in Go code: distance from its thread pointer (go_stack.c) */
	bool fs0; /* *(fs:0) is the thread pointer; else RDFSBASE is used */
};

struct region_layout {
	u32 size;      /* bytes used */
	u32 code_end;  /* [0, code_end): words, dispatchers, exits - a thread in there may be inside a program */
	u32 ledger_off, nledger; /* entries: a site's own is followed by one for its far bytes, if it has such */
	u32 follow_off; /* where a return goes whose slot has been replaced: runs the list of the slot that meta.newer names */
	u64 frames_lo, frames_hi; /* run-time; equal: no return probe in here */
	u64 eh_frame_hdr;
};

/* Upper bound of the region's size in bytes. */
u32 region_bound(const struct region_shape *shape, u32 nshapes, const struct region_site *site, u32 nsites);

/* 0, -ENOSPC (cap below region_bound()), -ERANGE (region_bound over 1 GiB or words out of reach). */
int region_build(const struct region_env *env, const struct region_shape *shape, u32 nshapes,
		 struct region_site *site, u32 nsites, u64 base, u8 *out, u32 cap, struct region_layout *ret);

/* The bytes of one site, given where its slot is (jump_off, victim_off): plan->patch_len of them at the window's start, and
 * plan->far_len at far_addr, the run-time address of plan->island. -ERANGE: out of reach. */
int region_site_bytes(const struct region_site *site, u64 base, u64 far_addr, u8 ret_bytes[5], u8 ret_far[PATCH_FAR_MAX]);
