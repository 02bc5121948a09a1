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

static void check_relocated(const struct patch_plan *p)
{
	u8 out[512], off[8];
	u64 to = p->vaddr + 0x1000000;
	u32 bound = patch_relocated_size(p);
	int n = patch_relocate(p, p->vaddr, to, out, sizeof(out), off);
	u32 at = 0;

	if (n == -34) /* random displacements may reach out of range */
		return;
	check(n > 0 && (u32)n <= bound, "relocated size", p);
	check(patch_relocate(p, p->vaddr, to, out, (u32)n - 1, off) == -28, "one byte short", p);
	for (struct x86_insn i; at < (u32)n; at += i.len)
		check(x86_read_strict(out + at, (u32)n - at, &i), "relocated code decodes", p);
	check(at == (u32)n, "relocated code ends with an instruction", p);
}

static void check_plan(const struct patch_plan *p, const u8 *code, size_t n, u64 other)
{
	u64 o = p->vaddr - CODE_AT;

	if (p->form == PATCH_REFUSED) {
		check(p->reason != PATCH_OK && p->reason < PATCH_NREASONS, "a refusal has a reason",
		      p);
		return;
	}
	check(p->reason == PATCH_OK && p->wlen >= p->patch_len && p->wlen <= PATCH_WINDOW_MAX,
	      "window", p);
	check(o + p->wlen <= n && !memcmp(p->orig, code + o, p->wlen), "original bytes", p);
	check(p->ninsn && p->ninsn <= 5 && !p->insn_off[0], "instructions", p);
	check(other <= p->vaddr || other >= p->vaddr + p->patch_len, "other site", p);
	if (p->form == PATCH_ISLAND) {
		u64 i = p->island - CODE_AT;
		s64 d = (s64)(p->island - (p->vaddr + 2));

		check(i + 5 <= n && !memcmp(p->island_orig, code + i, 5), "island bytes", p);
		check(d >= -128 && d <= 127 && (i + 5 <= o || i >= o + 2), "island in reach", p);
	}
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
