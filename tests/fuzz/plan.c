/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as code: what the planner accepts must hold together. Input: a byte of flags, a byte
 * with the number of functions, {start, size} for each, then code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa/x86_64/reader.h"
#include "patch/plan.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define CODE_AT 0x400000u

static void check(bool ok, const char *what, const struct patch_plan *p)
{
	if (ok)
		return;
	fprintf(stderr, "%s: site %#llx form %s window", what, (unsigned long long)p->vaddr,
		patch_form_name(p->form));
	for (u32 i = 0; i < p->wlen && i < PATCH_WINDOW_MAX; i++)
		fprintf(stderr, " %02x", p->orig[i]);
	fprintf(stderr, "\n");
	abort();
}

enum { SITE, HEAD, VICTIM };

static int relocate(const struct patch_plan *p, int what, u64 to, u8 *out, u32 cap)
{
	u16 off[PATCH_INSNS_MAX];

	switch (what) {
	case SITE: return patch_relocate(p, p->vaddr, to, 0, out, cap, off);
	case HEAD: return patch_relocate_head(p, p->vaddr, to, to + 0x1000, 0, out, cap, off);
	default: return patch_relocate_victim(p, p->island, to, 0, out, cap, off);
	}
}

static void check_relocated(const struct patch_plan *p)
{
	u64 to = p->vaddr + 0x1000000;
	u32 bound = patch_relocated_size(p), size = 0;

	for (int what = SITE; what <= VICTIM; what++) {
		u8 out[2048];
		u32 at = 0;
		int n;

		if ((what == HEAD && !p->back) || (what == VICTIM && !p->victim.len)) {
			check(relocate(p, what, to, out, sizeof(out)) == -22, "there is no such part", p);
			continue;
		}
		n = relocate(p, what, to, out, sizeof(out));
		if (n == -34) /* random displacements may reach out of range */
			return;
		check(n > 0 && (size += (u32)n) <= bound, "relocated size", p);
		check(relocate(p, what, to, out, (u32)n - 1) == -28, "one byte short", p);
		for (struct x86_insn i; at < (u32)n; at += i.len)
			check(x86_read_strict(out + at, (u32)n - at, &i), "relocated code decodes", p);
		check(at == (u32)n, "relocated code ends with an instruction", p);
	}
}

static void check_far(const struct patch_plan *p, const u8 *code, size_t n, u64 other)
{
	u64 at = patch_plan_at(p) - CODE_AT, far = p->island - CODE_AT;
	u64 far_end = far + (p->victim.len ? p->victim.len : p->far_len);
	s64 d = (s64)(patch_plan_hop(p) - (patch_plan_at(p) + 2));

	check((p->form == PATCH_ISLAND || p->form == PATCH_EVICT) == (p->far_len != 0), "far side", p);
	check((p->form == PATCH_EVICT) == (p->victim.len != 0), "victim", p);
	check((p->patch_len == 2) == (p->far_len != 0), "short jump", p);
	if (!p->far_len)
		return;
	check(far_end <= n && !memcmp(p->island_orig, code + far, p->far_len), "far bytes", p);
	check(d >= -128 && d <= 127 && (far_end <= at || far >= at + p->wlen), "in reach", p);
	check(other - CODE_AT < far || other - CODE_AT >= far_end, "no site there", p);
	check(!p->victim.len || (p->victim.len >= 10 && p->victim.len <= PATCH_VICTIM_MAX && p->victim.ninsn <= PATCH_INSNS_MAX &&
				 !memcmp(p->victim.orig, code + far, p->victim.len)), "victim", p);
}

static void check_plan(const struct patch_plan *p, const u8 *code, size_t n, u64 other)
{
	u64 o = patch_plan_at(p) - CODE_AT;

	if (p->form == PATCH_REFUSED) {
		check(p->reason != PATCH_OK && p->reason < PATCH_NREASONS, "a refusal has a reason",
		      p);
		return;
	}
	check(p->reason == PATCH_OK && p->wlen >= p->patch_len && p->wlen <= PATCH_WINDOW_MAX,
	      "window", p);
	check(o + p->wlen <= n && !memcmp(p->orig, code + o, p->wlen), "original bytes", p);
	check(p->ninsn && p->ninsn <= PATCH_INSNS_MAX && !p->insn_off[0], "instructions", p);
	check(p->first < p->ninsn && p->insn_off[p->first] == p->back && p->back <= PATCH_BACK_MAX, "the site's", p);
	check(!p->back || !p->entry, "no entry in the middle", p);
	check(other == p->vaddr || other < patch_plan_at(p) || other >= patch_plan_at(p) + p->patch_len ||
	      other > p->vaddr, "other site", p);
	check_far(p, code, n, other);
	check_relocated(p);
}

static int by_address(const void *x, const void *y)
{
	const struct patch_func *a = x, *b = y;

	return a->vaddr < b->vaddr ? -1 : a->vaddr > b->vaddr;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct patch_func func[16];
	struct patch_segment seg = { .vaddr = CODE_AT };
	struct patch_binary_desc d = {
		.seg = &seg, .nseg = 1, .data = &seg, .ndata = 1, .func = func
	};
	struct patch_binary *b = NULL;
	u64 other;

	if (size < 2)
		return 0;
	d.fixed = data[0] & 1;
	other = CODE_AT + (data[0] >> 1);
	d.nfunc = data[1] & 15;
	data += 2, size -= 2;
	for (u32 i = 0; i < d.nfunc; i++, data += 2, size -= 2) {
		if (size < 2)
			return 0;
		func[i] = (struct patch_func){ .vaddr = CODE_AT + data[0],
					       .size = data[1] & 63,
					       .fragment = data[1] >> 7 };
	}
	qsort(func, d.nfunc, sizeof(func[0]), by_address);
	seg.size = size < 512 ? size : 512;
	seg.bytes = data;
	if (patch_binary_new(&d, &b))
		return 0;
	for (u64 k = 0; k < seg.size; k++) {
		struct patch_plan p;

		patch_plan_site(b, CODE_AT + k, &other, 1, &p);
		check_plan(&p, data, seg.size, other);
	}
	patch_binary_free(b);
	return 0;
}
