/* SPDX-License-Identifier: MIT */
/*
 * A program that is started under `notrap run` - the loader, and above all what it starts: `bpftrace -c COMMAND` -
 * reports to the broker before any code of its own or of its libraries runs, so that no hit is lost.
 */
#pragma once

#include "shim/session.h"

/* Once, from our constructor, which is the first of all (DF_1_INITFIRST). Comes back soon when nobody answers. */
void born_tell(struct session *s);
