/* SPDX-License-Identifier: MIT */
/*
 * Stands in front of libc's _dl_find_object, by which unwinders find the unwind tables of an address: knows the
 * tables of our return thunks and passes everything else on.
 *
 * A region may be replaced while we copy its fields. An answer is given only if the region was live before, is live
 * after, and shows the same fields twice; a region that holds a frame of this thread is never taken away, so the
 * unwinder's question about such a frame is always answered.
 */
#include "payload/unwind.h"

#include "payload/region.h"

struct frames {
	u64 lo, hi, eh_frame_hdr;
};

static struct frames frames_of(const struct nt_region *r)
{
	return (struct frames){ at_load_acq(&r->frames_lo), at_load_acq(&r->frames_hi), at_load_acq(&r->eh_frame_hdr) };
}

static bool find_frames(u64 pc, struct frames *ret)
{
	for (u32 i = 0, n = region_count(); i < n; i++) {
		const struct nt_region *r = &nt_state.region[i];
		struct frames f, again;

		if (!region_is_live(r))
			continue;
		f = frames_of(r);
		if (pc - f.lo >= f.hi - f.lo)
			continue;
		again = frames_of(r);
		if (again.lo != f.lo || again.hi != f.hi || again.eh_frame_hdr != f.eh_frame_hdr || !region_is_live(r))
			continue;
		*ret = f;
		return true;
	}
	return false;
}

int unwind_find_object(void *pc, struct unwind_object *ret)
{
	int (*original)(void *pc, struct unwind_object *ret) = (void *)nt_state.orig_dl_find_object;
	struct frames f;

	if (!find_frames((u64)pc, &f))
		return original ? original(pc, ret) : -1;
	ret->flags = 0;
	ret->map_start = f.lo;
	ret->map_end = f.hi;
	ret->link_map = 0;
	ret->eh_frame = f.eh_frame_hdr;
	return 0;
}
