/* SPDX-License-Identifier: MIT */
/*
 * Detaches that could not be done: a debugger had the process, or a thread of it did not stop. The link is closed all the
 * same - its gate is shut, nothing runs any more - but its jumps are still there. They are taken out when that becomes
 * possible; until then no gate is used again, since one of those jumps may lead to it.
 */
#pragma once

#include "broker/link/process.h"

/* Is there such a process? */
bool unfinished_any(const struct engine *e);
/* Tries again where it is due. */
void unfinished_retry(struct engine *e);
