/* SPDX-License-Identifier: MIT */
/* One round: every function of funcs.S once, results checked, counts kept. */
#pragma once

#include "funcs.h"
#include "victim.h"

static const struct victim_func victim_funcs[VICTIM_NFUNCS] = VICTIM_FUNCS;

static inline void victim_round(uint64_t x, volatile uint64_t *count)
{
	int i = 0;
	uint64_t r;
	double d;

	for (; victim_funcs[i].fn; i++) {
		r = victim_funcs[i].fn(x);
		if (r != x + victim_funcs[i].plus)
			victim_wrong("%s(%#lx) = %#lx", victim_funcs[i].name, x, r);
		count[i]++;
	}
	r = v_call_with_carry(v_flags, x);
	if (r != x + 15)
		victim_wrong("v_flags(%#lx) = %#lx", x, r);
	count[i++]++;
	r = v_sum8(x, 1, 2, 3, 4, 5, 6, 7);
	if (r != x + 28)
		victim_wrong("v_sum8(%#lx) = %#lx", x, r);
	count[i++]++;
	d = v_double((double)(x & 0xffff) + 0.25);
	if (d != 2 * ((double)(x & 0xffff) + 0.25))
		victim_wrong("v_double = %f", d);
	count[i++]++;
}
