/* SPDX-License-Identifier: MIT */
#include <cpuid.h>

#include "subject.h"

bool machine_has_rdpid(void)
{
	u32 a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & 1u << 22;
}
