/* SPDX-License-Identifier: MIT */
/* A library that calls its own functions before main() does anything: mapped at start, or (PLUGIN) by dlopen. */
#include "newborn.h"

#ifdef PLUGIN
COUNTED(plug_ctor)
COUNTED(plug_fn)
#define CTOR plug_ctor
#define TIMES 4
#else
COUNTED(lib_ctor)
COUNTED(lib_fn)
#define CTOR lib_ctor
#define TIMES 3
#endif

__attribute__((constructor)) static void begin(void)
{
	call_times(CTOR, TIMES);
}
