/* SPDX-License-Identifier: MIT */
/*
 * What is known of a 64-bit value: known bits, unsigned and signed bounds of the whole and of its
 * low half. All of these hold at once; every operation keeps the promise that the concrete result
 * is inside. Operations take the width: 64, or 32 for ALU32 instructions, whose result is
 * zero-extended.
 */
#pragma once

#include "verifier/tnum.h"

struct range {
	struct tnum t;
	u64 umin, umax;
	s64 smin, smax;
	u32 wmin, wmax;	  /* low half, unsigned */
	s32 swmin, swmax; /* low half, signed */
};

void range_set_unknown(struct range *r);
void range_set_const(struct range *r, u64 v);
void range_set_unsigned(struct range *r, u64 lo, u64 hi);
bool range_is_const(const struct range *r);
bool range_is_unknown(const struct range *r);
bool range_equal(const struct range *a, const struct range *b);
/* Every value of inner is in outer, as far as the bounds show. */
bool range_contains(const struct range *outer, const struct range *inner);
bool range_has(const struct range *r, u64 v);

/* Carry what one view knows to the others. false: contradiction, no value is left; *r is then
 * unknown. */
bool range_sync(struct range *r);
void range_truncate(struct range *r, u32 bytes); /* low bytes, zero-extended */
/* Both hold: keep what both know. Contradiction: false, *d unchanged. */
bool range_intersect(struct range *d, const struct range *s);
void range_sign_extend(struct range *r, u32 bytes); /* low bytes 1, 2, 4, sign-extended to 64 */

/* *d = *d op *s. op is BPF_ADD .. BPF_ARSH; division, remainder and too far shifts give an unknown
 * of the width. */
void range_alu(struct range *d, const struct range *s, u8 op, u32 bits);
