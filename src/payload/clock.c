/* SPDX-License-Identifier: MIT */
#include "payload/clock.h"

#include "payload/kernel.h"

struct clock_time {
	s64 sec, nsec;
};

u64 clock_ns(u32 id)
{
	int (*vdso)(s64 id, struct clock_time * ret) = (void *)nt_state.clock_gettime;
	struct clock_time t;
	s64 r;

	r = vdso ? vdso(id, &t) : kernel_call2(__NR_clock_gettime, id, (u64)&t);
	return r ? 0 : (u64)t.sec * 1000000000u + (u64)t.nsec;
}
