/* SPDX-License-Identifier: MIT */
/* The functions of funcs.S. */
#pragma once

#include <stdint.h>

typedef uint64_t victim_fn(uint64_t x);

victim_fn v_push, v_nop5, v_endbr64, v_leaf, v_mov, v_riprel, v_jcc, v_call, v_sub, v_loop, v_jmp, v_mov32, v_tiny,
	v_after_tiny, v_red_zone, v_flags;
uint64_t v_sum8(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h);
double v_double(double x);
uint64_t v_call_with_carry(victim_fn *fn, uint64_t x);

struct victim_func {
	const char *name;
	victim_fn *fn; /* NULL: called in its own way */
	uint64_t plus;
};

#define VICTIM_FUNCS                                                                                       \
	{                                                                                                  \
		{"v_push", v_push, 1}, {"v_nop5", v_nop5, 2}, {"v_endbr64", v_endbr64, 3},                 \
		{"v_leaf", v_leaf, 4}, {"v_mov", v_mov, 5}, {"v_riprel", v_riprel, 6},                     \
		{"v_jcc", v_jcc, 7}, {"v_call", v_call, 8}, {"v_sub", v_sub, 9}, {"v_loop", v_loop, 10},   \
		{"v_jmp", v_jmp, 11}, {"v_mov32", v_mov32, 12}, {"v_tiny", v_tiny, 0},                     \
		{"v_after_tiny", v_after_tiny, 13}, {"v_red_zone", v_red_zone, 14},                        \
		{"v_flags", NULL, 15}, {"v_sum8", NULL, 0}, {"v_double", NULL, 0},                         \
	}
#define VICTIM_NFUNCS 18
