/* SPDX-License-Identifier: MIT */
#include "broker/arch/cpu.h"

#include <cpuid.h>

bool cpu_has_rdpid(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 22 & 1;
}

bool cpu_has_bmi2(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 8 & 1;
}
