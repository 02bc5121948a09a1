/* SPDX-License-Identifier: MIT */
/*
 * How much of real programs can be probed: all functions of a file as one link, and instructions wherever they stand. The
 * figures that are claimed for C, C++ and Rust programs, held against what this machine has; with NT_SOAK=1 against
 * large ones too. What a refused site wants is printed.
 */
#include "util/elf.h"

#include <glob.h>
#include <link.h>
#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

#define SAMPLE 20000u

struct subject {
	struct util_elf *elf;
	struct patch_binary *binary;
	u32 n, form[PATCH_NFORMS], reason[PATCH_NREASONS];
};

static void print_counts(const struct subject *s, const char *what)
{
	printf("# %u %s:", s->n, what);
	for (u32 i = 0; i < PATCH_NFORMS; i++)
		if (s->form[i])
			printf(" %s %u", patch_form_name(i), s->form[i]);
	for (u32 i = 0; i < PATCH_NREASONS; i++)
		if (s->reason[i])
			printf(", %s %u", patch_reason_name(i), s->reason[i]);
	printf("\n");
}

static void count(struct subject *s, const struct patch_plan *p)
{
	s->n++;
	s->form[p->form]++;
	if (p->form == PATCH_REFUSED)
		s->reason[p->reason]++;
}

static void take(struct patch_range *taken, u32 *n, struct patch_range r)
{
	u32 i = (*n)++;

	for (; i && taken[i - 1].lo > r.lo; i--)
		taken[i] = taken[i - 1];
	taken[i] = r;
}

/* Nothing that one plan writes is another's window. */
static bool disjoint(const struct patch_plan *plan, u32 n, const struct patch_range *taken, u32 ntaken)
{
	u32 k = 0;

	for (u32 i = 0; i < n; i++) {
		u64 lo = patch_plan_at(&plan[i]), hi = lo + plan[i].wlen;

		if (plan[i].form == PATCH_REFUSED || plan[i].back)
			continue;
		if (i + 1 < n && plan[i + 1].form != PATCH_REFUSED && hi > patch_plan_at(&plan[i + 1]))
			return false;
		while (k < ntaken && taken[k].hi <= lo)
			k++;
		if (k < ntaken && taken[k].lo < hi)
			return false;
	}
	return true;
}

static void functions(struct subject *s, const char *path, double want)
{
	const struct patch_binary_desc *d = util_elf_desc(s->elf);
	struct patch_range *taken = calloc(2ull * d->nfunc + 1, sizeof(*taken)), takes[2];
	struct patch_plan *plan = calloc(d->nfunc + 1ull, sizeof(*plan));
	u64 *all = calloc(d->nfunc + 1ull, sizeof(*all));
	u32 n = 0, ntaken = 0;

	for (u32 i = 0; i < d->nfunc; i++) /* pieces without a name are nobody's target */
		if ((d->func[i].name || !d->func[i].fragment) && (!n || all[n - 1] != d->func[i].vaddr))
			all[n++] = d->func[i].vaddr;
	s->n = 0;
	for (u32 i = 0; i < n; i++) {
		patch_plan_site_avoiding(s->binary, all[i], all, n, taken, ntaken, &plan[i]);
		for (u32 k = patch_plan_takes(&plan[i], takes); k--;)
			take(taken, &ntaken, takes[k]);
		count(s, &plan[i]);
	}
	print_counts(s, "functions");
	tap_ok(100.0 * (n - s->form[PATCH_REFUSED]) >= want * n, "%s: %.2f %% of the functions at their entry", path, want);
	tap_ok(disjoint(plan, n, taken, ntaken), "%s: no two plans want the same bytes", path);
	free(all);
	free(plan);
	free(taken);
}

static void instructions(struct subject *s, const char *path, double want, u64 seed)
{
	u64 a = 0, state = seed;
	u32 all = 0;

	for (; !patch_binary_next_insn(s->binary, a, &a); a++)
		all++;
	memset(s->form, 0, sizeof(s->form));
	memset(s->reason, 0, sizeof(s->reason));
	s->n = 0;
	for (a = 0; !patch_binary_next_insn(s->binary, a, &a); a++) {
		struct patch_plan p;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		if ((state >> 33) % all >= SAMPLE)
			continue;
		patch_plan_site(s->binary, a, NULL, 0, &p);
		count(s, &p);
	}
	print_counts(s, "instructions");
	tap_ok(100.0 * (s->n - s->form[PATCH_REFUSED]) >= want * s->n, "%s: %.2f %% of all instructions", path, want);
}

static void check_file(const char *path, double entries, double insns, u64 seed)
{
	struct subject s = { 0 };

	if (util_elf_open(path, &s.elf)) {
		tap_skip("no such file", "%s", path);
		return;
	}
	if (tap_eq(patch_binary_new(util_elf_desc(s.elf), &s.binary), 0, "%s: analysed", path)) {
		functions(&s, path, entries);
		instructions(&s, path, insns, seed);
	}
	patch_binary_free(s.binary);
	util_elf_close(s.elf);
}

static int note_libc(struct dl_phdr_info *info, size_t size, void *arg)
{
	if (strstr(info->dlpi_name, "libc.so"))
		snprintf(arg, 4096, "%s", info->dlpi_name);
	return 0;
}

static void check_found(const char *pattern, double entries, double insns, u64 seed)
{
	glob_t g;

	if (glob(pattern, 0, NULL, &g)) {
		tap_skip("not installed", "%s", pattern);
		return;
	}
	check_file(g.gl_pathv[0], entries, insns, seed);
	globfree(&g);
}

int main(void)
{
	/* In libcrypto and node there is data in the text: not all that is counted is code. */
	static const struct { const char *pattern; double entries, insns; } large[] = {
		{ "/usr/lib/*/libcrypto.so.3", 99.98, 98.5 },	 { "/usr/lib/*/libpython3.*.so.1.0", 99.98, 99.8 },
		{ "/usr/lib/postgresql/*/bin/postgres", 99.98, 99.8 }, { "/usr/lib/*/libLLVM-1*.so.1", 99.98, 99.8 },
		{ "/usr/bin/node", 99.9, 99.6 },		 { "/usr/bin/python3.*[0-9]", 99.75, 99.8 },
		{ "/root/.cargo/bin/cargo", 99.98, 99.5 },
	};
	const char *fixed = getenv("NT_SEED"), *soak = getenv("NT_SOAK");
	u64 seed = fixed ? strtoull(fixed, NULL, 0) : (u64)getpid() * 0x9e3779b97f4a7c15ull;
	char libc[4096] = "/lib64/libc.so.6";

	printf("# NT_SEED=%#llx\n", (unsigned long long)seed);
	dl_iterate_phdr(note_libc, libc);
	check_file(libc, 99.98, 99.8, seed);
	check_file("/bin/bash", 99.98, 99.8, seed);
	check_found("/usr/lib/*/libstdc++.so.6", 99.95, 99.8, seed);
	for (u32 i = 0; soak && *soak && i < sizeof(large) / sizeof(large[0]); i++)
		check_found(large[i].pattern, large[i].entries, large[i].insns, seed);
	return tap_done();
}
