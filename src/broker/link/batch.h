/* SPDX-License-Identifier: MIT */
/* One batch (attach.c): its preparation, which changes nothing of the target's code; its stop; what it leaves behind. */
#pragma once

#include "broker/link/process.h"
#include "broker/link/site.h"

#define BATCH_FAR (1u << 31) /* in placed_id, left_id */

struct batch_run { /* target bytes [lo, hi), kept at `at` in before and after */
	u64 lo, hi;
	u64 at;
};

struct batch_write {
	u64 addr;
	u8 len;
	u8 old[PATCH_FAR_MAX], new[PATCH_FAR_MAX];
	bool far; /* where a short jump leads, not the site itself */
	u32 placed; /* index in placed, or ~0: a jump is taken out */
	u32 id; /* the site's: with many, each look at a site is a cache miss */
	const struct site *site;
};

struct batch_consumer {
	struct link *link;
	bool exit; /* struct consumer */
};

struct batch_shape {
	u32 first, n; /* in links */
};

struct batch {
	struct process *p;
	struct module *m;

	/* Distinct consumer lists. */
	struct batch_shape *shape_def;
	struct batch_consumer *links;
	struct region_shape *shape;
	struct region_consumer *consumers;
	u32 nshapes, nlinks, cap_shapes, cap_links;

	/* Sites that get a slot, sorted by address; sites that lose what they have (a superset of the first when lists change). */
	struct region_site *placed;
	struct site **placed_site;
	u32 *placed_id; /* their numbers, and BATCH_FAR where the plan has far bytes: with many, each look at a site is a cache miss */
	u32 nplaced;
	bool go; /* Go code is among them */
	bool moved; /* threads may have been moved into the region, whether the rest worked or not */
	struct site **left;
	u32 *left_id; /* as placed_id */
	u32 nleft;
	bool counts; /* one of all these has a reference counter */
	u64 *cookies;
	u64 ncookies, cap_cookies;
	u64 *cookie_at; /* [nplaced] index into cookies */
	struct code_region region;

	struct batch_write *write;
	u32 nwrites;
	struct batch_run *run;
	u32 nruns;
	u8 *before, *after, *check;
};

/* Is c, on the list of s, to be called in this process? */
bool batch_consumer_wanted(const struct process *p, const struct site *s, const struct consumer *c);
/* Is anybody? */
bool batch_site_wanted(const struct process *p, const struct site *s);
/* Which of the sites change, and to what. The process is not touched. */
int batch_init(struct batch *b, struct process *p, struct module *m, struct site *const *site, u32 n);
/* Maps the programs of all lists and fills shape[]; with a borrowed thread. */
int batch_consumers(struct batch *b);
void batch_deinit(struct batch *b);

/* Reads the code around all changes and prepares it as it shall be. Sites whose bytes are not what they should be are
 * left alone (placed[].error = -EBUSY). */
int batch_prepare_runs(struct batch *b);

/* commit.c: stops the target, writes, resumes it. -EAGAIN: somebody else has changed the code since it was read; else the errno
 * of the stop or of a write. All or nothing, but for what `moved` says. */
int batch_commit(struct batch *b);

/* record.c: builds the region, whose room has been found, and puts it into the target. */
int batch_make_region(struct batch *b);
/* Takes back a region that no jump leads to, and nobody is in. */
void batch_drop_region(struct process *p, struct code_region *r);
/* The batch failed when threads had been moved into its region: it stays, like one that was in use, until they have left
 * it. Takes over r. */
void batch_abandon_region(struct process *p, struct code_region *r);
/* All is written: notes it here and in the ledgers. r: the new region, NULL if none was needed. */
void batch_record(struct batch *b, struct code_region *r);
