/* SPDX-License-Identifier: MIT */
/*
 * Probes the entry and the return of every function of some files, in every process that maps them, until its standard
 * input ends:
 *
 *     loader FILE...      says "ready FUNCTIONS", and in the end "reads 1" (0: one was wrong) and "hits ENTRIES RETURNS"
 *
 * NT_SOAK_HASH=1: programs that also go through helpers. To find out which function it is that something does not survive:
 * NT_SOAK_ONLY=LO-HI: of the first file only these functions; NT_SOAK_ENTRIES=1: no returns.
 */
#include "all.h"

static void keep_only(struct all_file *f, const char *range)
{
	unsigned int lo, hi;

	if (sscanf(range, "%u-%u", &lo, &hi) != 2 || lo >= f->n || lo >= hi)
		return;
	f->n = (hi < f->n ? hi : f->n) - lo;
	memmove(f->offset, f->offset + lo, f->n * sizeof(*f->offset));
	printf("# functions at %#llx to %#llx\n", (unsigned long long)f->offset[0], (unsigned long long)f->offset[f->n - 1]);
}

int main(int argc, char **argv)
{
	const char *hash = getenv("NT_SOAK_HASH");
	uint64_t in = 0, out = 0;
	struct all a;
	char c;

	if (argc < 2 || !all_open(&a, hash && *hash == '1'))
		return 99;
	for (int i = 1; i < argc; i++)
		if (!all_add_unnamed(&a, argv[i])) /* or too many of them */
			printf("no functions in %s\n", argv[i]);
	if (!a.next)
		return 99;
	if (getenv("NT_SOAK_ONLY"))
		keep_only(&a.file[0], getenv("NT_SOAK_ONLY"));
	a.entries_only = getenv("NT_SOAK_ENTRIES");
	if (!all_attach(&a, -1)) {
		printf("cannot attach: %s\n", strerror(errno));
		return 1;
	}
	printf("ready %u\n", a.next);
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	for (unsigned int i = 0; i < a.nfiles; i++) {
		uint64_t e, r;

		all_sum(&a, i, &e, &r);
		in += e;
		out += r;
	}
	printf("reads %d\n", all_reads_are_right(&a));
	all_close(&a);
	printf("hits %llu %llu\n", (unsigned long long)in, (unsigned long long)out);
	return 0;
}
