/* SPDX-License-Identifier: MIT */
/* Processes that have a block which nobody here put there: forked children, and what a killed broker left. */
#pragma once

#include "abi/types.h"

struct engine;
struct heirs;
struct process;

int heirs_new(struct engine *e, struct heirs **ret);
void heirs_free(struct heirs *h); /* NULL is fine */

/* A process we have no block recorded for: does it have one all the same? Then it is adopted, or what is in it is taken
 * out. all: also what brokers of other directories left, which else is for their successors. */
void heirs_look(struct heirs *h, struct process *p, bool all);
/* The same for every process of this user, or for those that were made since the last time, where that is enough. */
void heirs_find(struct heirs *h);
/* Every now and then, less than half a second apart, as long as there are links: keeps heirs_find() short. */
void heirs_tick(struct heirs *h);
/* There was no link, so what was forked before now has no jump of ours. */
void heirs_begin(struct heirs *h);
/* Until nothing is found any more. Long. */
void heirs_clean_up(struct heirs *h);
