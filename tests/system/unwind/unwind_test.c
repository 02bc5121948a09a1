/* SPDX-License-Identifier: MIT */
/*
 * Runs scenarios of victims with an entry and a return probe on every one of their functions, and on those of their
 * libraries:
 *
 *     unwind_test VICTIM LIBRARIES COMMAND...
 *
 * LIBRARIES: parts of file names separated by commas, or "-". The victims check their results themselves, and tell how
 * often they called what.
 */
#include "all.h"
#include "tap.h"

static bool add_libraries(struct all *a, pid_t pid, char *parts)
{
	if (!strcmp(parts, "-"))
		return true;
	for (char *part = strtok(parts, ","); part; part = strtok(NULL, ","))
		if (!all_add_mapped(a, pid, part)) {
			printf("# no file like %s is mapped\n", part);
			return false;
		}
	return true;
}

static void test_victim(char *victim, char *libraries, char **command, bool use_hash)
{
	struct victim_io v = { 0 };
	struct all a;
	uint64_t in, out;

	if (!tap_ok(!victim_start(&v, (char *[]){ victim, NULL }), "%s starts", strrchr(victim, '/') + 1))
		return;
	if (!tap_ok(all_open(&a, use_hash) && all_add(&a, victim) && add_libraries(&a, v.pid, libraries) &&
			    all_attach(&a, v.pid),
		    "probes on everything%s", use_hash ? ", programs that call helpers" : ""))
		return;
	for (; *command; command++)
		tap_ok(all_do(&a, &v, *command), "%s", *command);
	for (unsigned int i = 0; i < a.nfiles; i++) {
		all_sum(&a, i, &in, &out);
		printf("# %s: %zu functions, %llu entries, %llu returns\n", strrchr(a.file[i].path, '/') + 1,
		       all_functions(&a, i), (unsigned long long)in, (unsigned long long)out);
		tap_ok(in && out <= in, "%s was seen", strrchr(a.file[i].path, '/') + 1);
	}
	if (use_hash)
		tap_ok(all_reads_are_right(&a), "no read of its memory was wrong");
	all_close(&a);
	tap_eq(victim_end(&v), 0, "it goes on without probes, and ends well");
}

int main(int argc, char **argv)
{
	char *again;

	if (argc < 4)
		return 99;
	again = strdup(argv[2]);
	test_victim(argv[1], argv[2], argv + 3, false);
	if (again)
		test_victim(argv[1], again, argv + 3, true);
	free(again);
	return tap_done();
}
