/* SPDX-License-Identifier: MIT */
/* Include through base/atomic.h. */
#pragma once

static inline void at_pause(void)
{
	__builtin_ia32_pause();
}
