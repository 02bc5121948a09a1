/* SPDX-License-Identifier: MIT */
/*
 * How much of real programs can be probed: all functions of a file as one link, and instructions wherever they stand. The
 * figures that are claimed for C, C++, Rust and Go programs, held against what this machine has (`tools/setup.sh soak`
 * installs all of them). What a refused site wants is printed.
 *
 * What no uprobe can be on, the kernel's neither, is not counted: data among the code, which the sweep takes for
 * instructions or cannot decode; instructions that only fault; a few functions of Go's runtime that are no functions.
 */
#include "util/elf.h"

#include <glob.h>
#include <link.h>
#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

#define SAMPLE 100000u /* of libcrypto, the nearest to its figure, that leaves it seven deviations */

struct subject {
	struct util_elf *elf;
	struct patch_binary *binary;
	u32 n, none, form[PATCH_NFORMS], reason[PATCH_NREASONS]; /* none: nothing can be on them */
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
	printf("; %u cannot have any\n", s->none);
}

static bool enough(const struct subject *s, double want)
{
	return s->n && 100.0 * (s->n - s->form[PATCH_REFUSED]) >= want * s->n;
}

static void count(struct subject *s, const struct patch_plan *p)
{
	if (p->form == PATCH_REFUSED && (p->reason == PATCH_R_UNDECODABLE || p->reason == PATCH_R_BAD_INSN || p->reason == PATCH_R_GO)) {
		s->none++;
		return;
	}
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
	for (u32 i = 0; i < n; i++) {
		patch_plan_site_avoiding(s->binary, all[i], all, n, taken, ntaken, &plan[i]);
		for (u32 k = patch_plan_takes(&plan[i], takes); k--;)
			take(taken, &ntaken, takes[k]);
		count(s, &plan[i]);
	}
	print_counts(s, "functions");
	tap_ok(enough(s, want), "%s: %.2f %% of the functions at their entry", path, want);
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
	*s = (struct subject){ .elf = s->elf, .binary = s->binary };
	for (a = 0; !patch_binary_next_insn(s->binary, a, &a); a++) {
		struct patch_plan p;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		if ((state >> 33) % all >= SAMPLE)
			continue;
		patch_plan_site(s->binary, a, NULL, 0, &p);
		count(s, &p);
	}
	print_counts(s, "instructions");
	tap_ok(enough(s, want), "%s: %.2f %% of all instructions", path, want);
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

static bool check_found(const char *pattern, double entries, double insns, u64 seed)
{
	glob_t g;

	if (glob(pattern, 0, NULL, &g))
		return false;
	check_file(g.gl_pathv[0], entries, insns, seed);
	globfree(&g);
	return true;
}

int main(void)
{
	/* In python's own program, which has a fixed address, every constant may be an address. */
	static const struct { const char *what, *pattern, *other; double entries, insns; } files[] = {
		{ "bash", "/bin/bash", NULL, 99.98, 99.8 },
		{ "libstdc++", "/usr/lib/*/libstdc++.so.6", NULL, 99.95, 99.8 },
		{ "libcrypto", "/usr/lib/*/libcrypto.so.3", NULL, 99.98, 99.8 },
		{ "libpython", "/usr/lib/*/libpython3.*.so.1.0", NULL, 99.98, 99.8 },
		{ "a python program", "/usr/bin/python3.*[0-9]", NULL, 99.8, 99.8 },
		{ "postgres", "/usr/lib/postgresql/*/bin/postgres", NULL, 99.98, 99.8 },
		{ "libLLVM", "/usr/lib/*/libLLVM-1*.so.1", "/usr/lib/*/libLLVM.so.1*", 99.99, 99.8 },
		{ "node", "/usr/bin/node", "/usr/bin/nodejs", 99.98, 99.8 },
		{ "a Rust program", "/usr/bin/rg", "/root/.cargo/bin/cargo", 99.98, 99.8 },
		{ "a Go program", "/usr/lib/go-*/pkg/tool/linux_amd64/compile", "/usr/lib/go-*/bin/go", 99.98, 99.8 },
	};
	const char *fixed = getenv("NT_SEED");
	u64 seed = fixed ? strtoull(fixed, NULL, 0) : (u64)getpid() * 0x9e3779b97f4a7c15ull;
	char libc[4096] = "/lib64/libc.so.6";

	printf("# NT_SEED=%#llx\n", (unsigned long long)seed);
	dl_iterate_phdr(note_libc, libc);
	check_file(libc, 99.98, 99.8, seed);
	for (u32 i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!check_found(files[i].pattern, files[i].entries, files[i].insns, seed) &&
		    (!files[i].other || !check_found(files[i].other, files[i].entries, files[i].insns, seed)))
			tap_skip("not installed (tools/setup.sh soak does that)", "how much of %s can be probed", files[i].what);
	return tap_done();
}
