/* SPDX-License-Identifier: MIT */
/*
 * What the planner knows of a binary: four bits per byte of code, and a few flags per function.
 *
 *     start   an instruction begins here (linear sweep, in step again at every known function)
 *     target  something may jump here: by a branch, a jump table, a pointer, or from another file
 *     dead    padding that is never executed and belongs to nobody
 *     idle    padding inside a function, behind the end of the flow: as far as we know never executed
 *
 * Internal to src/patch/x86_64.
 */
#pragma once

#include "patch/plan.h"

struct text {
	u64 lo, hi; /* addresses */
	const u8 *bytes;
	u64 *target, *start, *dead, *idle;
	u64 *guess; /* targets that may be numbers: they count where an instruction begins */
};

#define FUNC_LOOPS 1u	  /* a branch inside the function goes back to its first instruction */
#define FUNC_RBX_SAVED 2u /* rbx: what the first instruction that names it does */
#define FUNC_RBX_USED 4u

struct func_info {
	u64 end;
	u8 flags;
};

struct patch_binary {
	struct patch_binary_desc desc;
	struct text *text; /* one per desc.seg */
	struct func_info *info; /* parallel to desc.func; of aliases only the first is filled */
};

static inline bool bit_test(const u64 *map, u64 i)
{
	return map[i / 64] >> (i % 64) & 1;
}

static inline void bit_set(u64 *map, u64 i)
{
	map[i / 64] |= 1ull << (i % 64);
}

/* n <= 57 bits from bit i on, in the low bits of the result. Maps are a word longer than needed. */
static inline u64 bit_range(const u64 *map, u64 i, u32 n)
{
	u64 v = map[i / 64] >> (i % 64);

	if (i % 64)
		v |= map[i / 64 + 1] << (64 - i % 64);
	return v & ((1ull << n) - 1);
}

/* The text that holds addr, or NULL. */
static inline struct text *binary_text(const struct patch_binary *b, u64 addr)
{
	for (u32 i = 0; i < b->desc.nseg; i++)
		if (addr - b->text[i].lo < b->text[i].hi - b->text[i].lo)
			return &b->text[i];
	return NULL;
}

/* Marks addr as a possible target of a jump; addresses outside of all texts are ignored. */
static inline void binary_mark_target(struct patch_binary *b, u64 addr)
{
	struct text *t = binary_text(b, addr);

	if (t)
		bit_set(t->target, addr - t->lo);
}

static inline void binary_mark_guess(struct patch_binary *b, u64 addr)
{
	struct text *t = binary_text(b, addr);

	if (t)
		bit_set(t->guess, addr - t->lo);
}

/* Is the code there Go's? */
static inline bool binary_is_go(const struct patch_binary *b, u64 addr)
{
	const struct patch_range *r = &b->desc.go_text;

	return b->desc.is_go && (!r->hi || addr - r->lo < r->hi - r->lo);
}

/* Index of the first of the functions with the greatest start <= addr, or -1. */
s64 binary_func_at(const struct patch_binary *b, u64 addr);

/* The passes of patch_binary_new(), in this order; 0, -ENOMEM, -E2BIG (not a sane binary). */
struct table { /* an address that a lea loads: perhaps of a jump table */
	u64 addr;
	u64 lo, hi; /* the function, or nameless code, that loads it: its targets are in there */
};
struct table_list {
	struct table *table;
	size_t n, cap;
};
struct run_list { /* padding that is dead unless a target lies in it */
	struct patch_range *run;
	size_t n, cap;
};
int sweep_code(struct patch_binary *b, struct table_list *ret_tables, struct run_list *ret_runs,
	       struct run_list *ret_idle);
int jump_tables_read(struct patch_binary *b, const struct table_list *tables);
void dead_mark(struct patch_binary *b, const struct run_list *runs);
void idle_mark(struct patch_binary *b, const struct run_list *runs);

/* Why a return probe is not possible at function index f (an entry that can be patched), or
 * PATCH_OK. */
enum patch_reason return_refused(const struct patch_binary *b, s64 f);

/* Go: padding in front of what grows the stack of the function [lo, end), whose instructions are known. */
bool go_unreached(const struct text *t, u64 lo, u64 end, struct patch_range *ret);

/* The same of any probe at function index f of a Go program; `at` is its first instruction. */
enum patch_reason go_refused(const struct patch_binary *b, s64 f, const u8 *at, u64 n);
