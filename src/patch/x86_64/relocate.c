/* SPDX-License-Identifier: MIT */
#include "patch/plan.h"

#include <errno.h>

#include "isa/x86_64/reader.h"
#include "isa/x86_64/relocator.h"
#include "patch/x86_64/guard.h"

struct displaced { /* a window's instructions */
	const u8 *orig, *off;
	u8 len, ninsn;
	bool drop; /* nops: nothing to do */
	u16 guarded;
	u32 go_words;
};

static struct displaced of_site(const struct patch_plan *p)
{
	return (struct displaced){ .orig = p->orig, .off = p->insn_off, .len = p->wlen, .ninsn = p->ninsn,
				   .drop = p->form == PATCH_NOP5, .guarded = p->guarded };
}

static struct displaced of_victim(const struct patch_plan *p)
{
	return (struct displaced){ .orig = p->victim.orig, .off = p->victim.insn_off, .len = p->victim.len,
				   .ninsn = p->victim.ninsn, .guarded = p->victim.guarded };
}

/* Bytes of displaced instruction k; the last one ends at or before len (padding may follow it). */
static bool read_displaced(const struct displaced *d, u32 k, struct x86_insn *ret)
{
	u8 padded[PATCH_WINDOW_MAX + X86_INSN_MAX] = { 0 };

	if (d->off[k] >= d->len || d->len > PATCH_WINDOW_MAX)
		return false;
	for (u32 i = d->off[k]; i < d->len; i++)
		padded[i - d->off[k]] = d->orig[i];
	return x86_read(padded, sizeof(padded), ret) && d->off[k] + ret->len <= d->len;
}

/* Instructions [from, to) of the window at run-time address `at`, then a jump to `next` unless the flow has ended. */
static int write_some(struct x86_writer *w, const struct displaced *d, u64 at, u32 from, u32 to, u64 next, u16 *new_off)
{
	u32 start = w->len;
	bool falls = true;

	for (u32 k = from; k < to; k++) {
		const u8 *bytes = d->orig + d->off[k];
		struct x86_insn i;

		if (!read_displaced(d, k, &i) || !x86_can_relocate(bytes, &i))
			return -EINVAL;
		new_off[k] = (u16)(w->len - start);
		if (d->guarded & 1u << k)
			guard_write(w, d->go_words, bytes, &i, at + d->off[k]);
		else if (!d->drop)
			x86_relocate(w, bytes, &i, at + d->off[k]);
		falls = x86_relocated_falls_through(&i);
	}
	if (falls)
		x86_jmp(w, next);
	return w->error ? w->error : (int)(w->len - start);
}

static bool plan_is_sane(const struct patch_plan *p)
{
	return p->form != PATCH_REFUSED && p->ninsn && p->ninsn <= PATCH_INSNS_MAX && (p->first < p->ninsn || (p->back && p->first == p->ninsn)) && p->victim.ninsn <= PATCH_INSNS_MAX;
}

u32 patch_relocated_size(const struct patch_plan *p)
{
	struct displaced site = of_site(p), victim = of_victim(p);
	struct x86_writer w;
	u16 off[PATCH_INSNS_MAX];
	int r = 0;

	if (!plan_is_sane(p))
		return 0;
	x86_init(&w, NULL, 0, 0);
	r = write_some(&w, &site, 0, p->first, p->ninsn, 0, off);
	if (r >= 0 && p->back)
		r = write_some(&w, &site, 0, 0, p->first, 0, off);
	if (r >= 0 && victim.len)
		r = write_some(&w, &victim, 0, 0, victim.ninsn, 0, off);
	return r < 0 ? 0 : w.len;
}

/* new_off is untouched on failure. */
static int relocate(const struct displaced *d, u64 at, u32 from, u32 to, u64 next, u64 dst, u8 *out, u32 cap, u16 *new_off)
{
	struct x86_writer w;
	u16 off[PATCH_INSNS_MAX] = { 0 };
	int n;

	x86_init(&w, out, cap, dst);
	n = write_some(&w, d, at, from, to, next, off);
	for (u32 k = from; n >= 0 && k < to; k++)
		new_off[k] = off[k];
	return n;
}

int patch_relocate(const struct patch_plan *p, u64 site, u64 to, u32 go_words, u8 *out, u32 cap, u16 new_off[PATCH_INSNS_MAX])
{
	struct displaced d = of_site(p);
	u64 at = site - p->back;

	if (!plan_is_sane(p))
		return -EINVAL;
	d.go_words = go_words;
	return relocate(&d, at, p->first, p->ninsn, at + p->wlen, to, out, cap, new_off);
}

int patch_relocate_head(const struct patch_plan *p, u64 site, u64 to, u64 slot, u32 go_words, u8 *out, u32 cap,
			u16 new_off[PATCH_INSNS_MAX])
{
	struct displaced d = of_site(p);

	if (!plan_is_sane(p) || !p->back)
		return -EINVAL;
	d.go_words = go_words;
	return relocate(&d, site - p->back, 0, p->first, slot, to, out, cap, new_off);
}

int patch_relocate_victim(const struct patch_plan *p, u64 at, u64 to, u32 go_words, u8 *out, u32 cap,
			  u16 new_off[PATCH_INSNS_MAX])
{
	struct displaced d = of_victim(p);

	if (!plan_is_sane(p) || !d.len)
		return -EINVAL;
	d.go_words = go_words;
	return relocate(&d, at, 0, d.ninsn, at + d.len, to, out, cap, new_off);
}
