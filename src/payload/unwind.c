/* SPDX-License-Identifier: MIT */
/*
 * Stands in front of libc's _dl_find_object, by which unwinders find the unwind tables of an
 * address: knows the tables of our return thunks and passes everything else on.
 *
 * A region may be replaced while we copy its fields: see region.h. One that changes under us cannot
 * be the one that is asked for: a region that holds a frame of this thread is never taken away. So
 * no second try is needed.
 */
#include "payload/unwind.h"

#include "payload/region.h"

struct frames {
	u64 lo, hi, eh_frame_hdr;
};

/* False: not there, or changed meanwhile. */
static bool frames_read(const struct nt_region *r, struct frames *ret)
{
	u64 seq = at_load_acq(&r->seq);
	struct frames f;

	if (!region_is_there(r))
		return false;
	f.lo = at_load_acq(&r->frames_lo);
	f.hi = at_load_acq(&r->frames_hi);
	f.eh_frame_hdr = at_load_acq(&r->eh_frame_hdr);
	if (!region_is_there(r) || at_load_acq(&r->seq) != seq)
		return false;
	if (f.lo >= f.hi || !f.eh_frame_hdr) /* none, or a first write that came in pieces */
		return false;
	*ret = f;
	return true;
}

static bool frames_find(u64 pc, struct frames *ret)
{
	for (u32 i = 0, n = region_count(); i < n; i++)
		if (frames_read(&nt_state.region[i], ret) && pc - ret->lo < ret->hi - ret->lo)
			return true;
	return false;
}

int unwind_find_object(void *pc, struct unwind_object *ret)
{
	int (*original)(void *pc, struct unwind_object *ret) = (void *)nt_state.orig_dl_find_object;
	struct frames f;

	if (!frames_find((u64)pc, &f))
		return original ? original(pc, ret) : -1;
	ret->flags = 0;
	ret->map_start = f.lo;
	ret->map_end = f.hi;
	ret->link_map = 0;
	ret->eh_frame = f.eh_frame_hdr;
	return 0;
}
