/* SPDX-License-Identifier: MIT */
/*
 * Tristate numbers: a set of u64 values of which some bits are known. Bit i is unknown if it is set
 * in mask, else it is that of value (value & mask == 0). Every operation returns a set that
 * contains all possible results (Vishwanathan et al., "Sound, Precise, and Fast Abstract
 * Interpretation with Tristate Numbers", CGO 2022).
 */
#pragma once

#include "abi/types.h"

struct tnum {
	u64 value, mask;
};

#define TNUM_UNKNOWN ((struct tnum){.value = 0, .mask = ~0ull})

struct tnum tnum_const(u64 v);
struct tnum tnum_range(u64 lo, u64 hi); /* smallest set that contains lo..hi */
bool tnum_is_const(struct tnum t);
bool tnum_contains(struct tnum outer, struct tnum inner);
bool tnum_is_aligned(struct tnum t, u64 size); /* size a power of two */
/* The values that are in both; false and *ret untouched if there is none. */
bool tnum_intersect(struct tnum a, struct tnum b, struct tnum *ret);
struct tnum tnum_cast(struct tnum t, u32 bytes);       /* low bytes, zero-extended; bytes 1..8 */
struct tnum tnum_high(struct tnum t);		       /* upper 32 bits, lower ones zero */
struct tnum tnum_sext(struct tnum t, u32 bits); /* low bits, sign-extended; bits 8, 16, 32 */
struct tnum tnum_or_raw(struct tnum a, struct tnum b); /* a and b have no bit in common */

struct tnum tnum_add(struct tnum a, struct tnum b);
struct tnum tnum_sub(struct tnum a, struct tnum b);
struct tnum tnum_and(struct tnum a, struct tnum b);
struct tnum tnum_or(struct tnum a, struct tnum b);
struct tnum tnum_xor(struct tnum a, struct tnum b);
struct tnum tnum_mul(struct tnum a, struct tnum b);
struct tnum tnum_lsh(struct tnum a, u32 n);
struct tnum tnum_rsh(struct tnum a, u32 n);
struct tnum tnum_arsh(struct tnum a, u32 n, u32 bits); /* bits 32: of the low half, zero-extended */
