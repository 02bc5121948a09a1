/* SPDX-License-Identifier: MIT */
/* What is written at a site, and where a thread goes on that stood there. */
#include "patch/region.h"

#include <errno.h>
#include <string.h>

static int jump(u64 from, u64 to, u8 bytes[5])
{
	s64 d = (s64)(to - (from + 5));

	if (d != (s32)d)
		return -ERANGE;
	bytes[0] = 0xe9;
	memcpy(bytes + 1, &(s32){ (s32)d }, 4);
	return 0;
}

int region_site_bytes(const struct region_site *s, u64 base, u64 far_addr, u8 ret_bytes[5], u8 ret_far[PATCH_FAR_MAX])
{
	u64 at = s->addr - s->plan->back, hop = far_addr + s->plan->far_len - 5;
	s64 d;

	if (!s->plan->far_len)
		return jump(at, base + s->jump_off, ret_bytes);
	d = (s64)(hop - (at + 2));
	if (d != (s8)d)
		return -ERANGE;
	ret_bytes[0] = 0xeb;
	ret_bytes[1] = (u8)d;
	if (s->plan->victim.len && jump(far_addr, base + s->victim_off, ret_far))
		return -ERANGE;
	return jump(hop, base + s->jump_off, ret_far + (hop - far_addr));
}

/* At the site itself its program has not run yet; before it the way to it is not finished. */
u32 region_moved(const struct region_site *s, u64 addr)
{
	const struct patch_plan *p = s->plan;
	u64 off = addr - (s->addr - p->back);

	for (u32 i = 1; off && off < p->wlen && i < p->ninsn; i++) {
		if (p->insn_off[i] != off)
			continue;
		if (i == p->first)
			return s->slot_off;
		return (i < p->first ? s->jump_off : s->body_off) + s->new_off[i];
	}
	return 0;
}

u32 region_copy(const struct region_site *s, u64 addr)
{
	const struct patch_plan *p = s->plan;
	u64 off = addr - (s->addr - p->back);

	for (u32 i = 0; off < p->wlen && i < p->ninsn; i++)
		if (p->insn_off[i] == off)
			return (i < p->first ? s->jump_off : s->body_off) + s->new_off[i];
	return 0;
}

u32 region_moved_victim(const struct region_site *s, u64 victim, u64 addr)
{
	const struct patch_victim *v = &s->plan->victim;
	u64 off = addr - victim;

	for (u32 i = 1; off && off < v->len && i < v->ninsn; i++)
		if (v->insn_off[i] == off)
			return s->victim_off + s->victim_new_off[i];
	return 0;
}
