/* SPDX-License-Identifier: MIT */
/* What signals_step.c and its victim agree on. */
#pragma once

#include <stdint.h>

enum { /* what the handler does */
	SIGNALS_RETURN = 1,
	SIGNALS_CALL,
	SIGNALS_JUMP,
	SIGNALS_TRACE,
	SIGNALS_THROW,
	SIGNALS_NMODES
};

struct signals_report { /* in the victim; rbx points to it at every int3 */
	uint64_t handled, whole, caught;
};
