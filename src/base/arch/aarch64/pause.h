/* SPDX-License-Identifier: MIT */
/* Include through base/atomic.h. */
#pragma once

static inline void at_pause(void)
{
	__asm__ volatile("yield");
}
