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

/* is_prefix_bad(): segments that mean nothing, and lock. */
bool cpu_kernel_refuses(const unsigned char *insn, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		switch (insn[i]) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0xf0: return true;
		case 0x64: /* fs, gs, operand and address size, rep */
		case 0x65:
		case 0x66:
		case 0x67:
		case 0xf2:
		case 0xf3: break;
		default: return false;
		}
	}
	return false;
}
