/* SPDX-License-Identifier: MIT */
#pragma once

struct link;

/* Brings every process up to date with the site lists after l was marked as closing. What cannot be done now is done later
 * (unfinished.h): its gate is closed. */
void detach_link(struct link *l);
