/* SPDX-License-Identifier: MIT */
#include "patch/plan.h"

#include <errno.h>

#include "isa/x86_64/reader.h"
#include "isa/x86_64/relocator.h"

/* Bytes of displaced instruction k; the last one ends at or before wlen (padding may follow it). */
static bool read_displaced(const struct patch_plan *p, u32 k, struct x86_insn *ret)
{
	u8 padded[2 * PATCH_WINDOW_MAX] = { 0 };

	if (k >= 8 || p->insn_off[k] >= p->wlen || p->wlen > PATCH_WINDOW_MAX)
		return false;
	for (u32 i = p->insn_off[k]; i < p->wlen; i++)
		padded[i - p->insn_off[k]] = p->orig[i];
	return x86_read(padded, sizeof(padded), ret) && p->insn_off[k] + ret->len <= p->wlen;
}

static int write_all(struct x86_writer *w, const struct patch_plan *p, u64 site, u8 new_off[8])
{
	bool falls = true;

	for (u32 k = 0; k < p->ninsn; k++) {
		const u8 *bytes = p->orig + p->insn_off[k];
		struct x86_insn i;

		if (!read_displaced(p, k, &i) || !x86_can_relocate(bytes, &i))
			return -EINVAL;
		new_off[k] = (u8)w->len;
		if (p->form != PATCH_NOP5)
			x86_relocate(w, bytes, &i, site + p->insn_off[k]);
		falls = x86_relocated_falls_through(&i);
	}
	if (falls)
		x86_jmp(w, site + p->wlen);
	return w->error ? w->error : (int)w->len;
}

u32 patch_relocated_size(const struct patch_plan *p)
{
	struct x86_writer w;
	u8 off[8];
	int n;

	if (p->form == PATCH_REFUSED)
		return 0;
	x86_init(&w, NULL, 0, 0);
	n = write_all(&w, p, 0, off);
	return n < 0 ? 0 : (u32)n;
}

int patch_relocate(const struct patch_plan *p, u64 site, u64 to, u8 *out, u32 cap, u8 new_off[8])
{
	struct x86_writer w;
	u8 off[8] = { 0 };
	int n;

	if (p->form == PATCH_REFUSED || !p->ninsn || p->ninsn > 8)
		return -EINVAL;
	x86_init(&w, out, cap, to);
	n = write_all(&w, p, site, off);
	if (n >= 0)
		for (u32 k = 0; k < p->ninsn; k++)
			new_off[k] = off[k];
	return n;
}
