/* SPDX-License-Identifier: MIT */
#include "broker/link/compact.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "broker/link/attach.h"
#include "util/fd.h"

#define SMALL_MAX 128u	/* sites of a small region ... */
#define TOGETHER 256u	/* ... and of one that they are put into: so many may still have slots with all in them */
#define PATIENCE 128u	/* small regions of a module */
#define QUIESCE_MS 200u

static bool is_small(const struct code_region *r, const struct module *m)
{
	return r && r->module == m && r->live && r->live < SMALL_MAX;
}

static u32 count_small(const struct process *p, const struct module *m)
{
	u32 n = 0;

	for (const struct code_region *r = p->regions; r; r = r->next)
		n += is_small(r, m);
	return n;
}

int compact_regions(struct process *p, struct module *m, compact_fn *attach)
{
	struct site **site free_auto = NULL;
	u32 n = 0;
	int r = 0;

	if (count_small(p, m) <= PATIENCE)
		return 0;
	site = calloc(m->binary->nsites + 1, sizeof(*site));
	if (!site)
		return -ENOMEM;
	for (u32 i = 0; i < m->binary->nsites; i++) {
		struct site *s = m->binary->site[i];

		if (s->id < m->npatch && is_small(m->patch[s->id].region, m))
			site[n++] = s;
	}
	for (u32 at = 0; at < n && !r; at += TOGETHER)
		r = attach(p, m, site + at, bits_min(TOGETHER, n - at));
	attach_quiesce(p, QUIESCE_MS); /* takes away what was left behind */
	return r;
}
