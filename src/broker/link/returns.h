/* SPDX-License-Identifier: MIT */
/*
 * Calls that began under another consumer list. At its return a call is reported to everybody who is on the site's list
 * then (the kernel's rule), but it comes back through the slot that it went in by:
 *
 *     old slot's meta { newer, exit } --exit--> follow: entry.slot = newer --> newer.exit
 *
 * Whenever a site gets a new slot, all older ones of it that are still there are turned to the new one. A site that was
 * without consumers in between has no jump to be replaced, and its pending calls are reported to nobody: as in the
 * kernel, where the uprobe and what knows of it go with the last consumer.
 */
#pragma once

#include "broker/link/batch.h"

/* Which slots of the batch's region calls will return through. -ENOMEM. */
int returns_note(struct batch *b);
/* After the jumps were written: pending calls of all sites in `to` will be reported to their lists as they are now. */
void returns_forward(struct batch *b, const struct code_region *to);
