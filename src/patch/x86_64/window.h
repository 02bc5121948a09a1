/* SPDX-License-Identifier: MIT */
/* What plan_site.c and evict.c share: one question to the planner, and windows. Internal to src/patch/x86_64. */
#pragma once

#include "isa/x86_64/reader.h"
#include "patch/x86_64/binary.h"

enum { JMP_LEN = 5, SHORT_LEN = 2 };

struct ask {
	const struct patch_binary *b;
	const struct text *t;
	u64 site;
	u64 func_end; /* of the function around the site; 0 = not known */
	const u64 *other;
	const struct patch_range *taken;
	u32 nother, ntaken;
	const u64 *own; /* [nown] more sites, of the function itself */
	u32 nown;
	bool go;
	bool guard; /* copies may be guarded */
};

struct window { /* whole instructions from `at` on whose first `need` bytes are patched */
	u64 at;
	u8 form; /* PATCH_NOP5, PATCH_JMP, PATCH_JMP_N, PATCH_PAD */
	u8 len, ninsn;
	u8 off[PATCH_INSNS_MAX];
	u8 first; /* the instruction that begins at the site; ninsn: the window ends in front of it */
	bool has_syscall, ends_flow;
	bool moved_sp; /* since the function's entry, as far as is known */
	u16 guarded;   /* bits: instructions whose copies need a guard */
};

/*
 * Can the first `need` (at most 10) bytes at `at` be written over? The window ends with a whole instruction behind them;
 * end = how far the code goes. `site` is an instruction inside, or `at` itself. PATCH_OK and *ret filled, or the reason.
 */
enum patch_reason window_try(const struct ask *q, u64 at, u64 site, u32 need, u64 end, struct window *ret);

/* The same for a window [at, site), which leaves the site's own instruction where it is. At least JMP_LEN bytes. */
enum patch_reason window_before(const struct ask *q, u64 at, u64 site, struct window *ret);

/* Is something else probed whose jump may lie in [lo, hi)? */
bool window_other(const struct ask *q, u64 lo, u64 hi);
bool window_taken(const struct ask *q, u64 lo, u64 hi);
/* Does [at, at + n) touch code by whose bytes unwinders know a signal frame? */
bool window_sigreturn(const struct text *t, u64 at, u32 n);

/* Does a function begin there? */
bool window_function(const struct patch_binary *b, u64 addr);

/* nil.c: in Go code, may the instruction at `at` fault so that the runtime makes a panic of it? */
bool nil_may_fault(const struct text *t, u64 at, const struct x86_insn *i);

/* evict.c: fills the far side of p, whose short jump stands at patch_plan_at(p). */
bool evict_try(const struct ask *q, const struct window *site_window, struct patch_plan *p);
