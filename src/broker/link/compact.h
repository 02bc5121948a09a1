/* SPDX-License-Identifier: MIT */
/*
 * Every attach makes a region, and a process has room for NT_MAX_REGIONS. A loader with a link for each of thousands of
 * functions would fill them with regions of one site; so small ones are put together, as if their links had been opened
 * in one batch.
 */
#pragma once

#include "broker/link/process.h"
#include "broker/link/site.h"

typedef int compact_fn(struct process *p, struct module *m, struct site *const *site, u32 n);

/* When the module has too many small regions: moves their sites to larger ones with attach. 0 or -errno; what could not
 * be moved stays as it is. */
int compact_regions(struct process *p, struct module *m, compact_fn *attach);
