/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include <stdlib.h>

#include "payload/payload.h"

bool machine_has_rdpid(void)
{
	return false;
}

/* There is none yet (docs/aarch64.md). */
void hold_entry(void)
{
	abort();
}
