/* SPDX-License-Identifier: MIT */
/*
 * Probes go while threads are inside of them, or inside of functions that they have changed the return of:
 *
 *     detach_test VICTIM LIBRARY
 */
#include "all.h"
#include "tap.h"

enum { ROUNDS = 4 };

/* Without comparing counts: they stand still when nothing is attached. */
static bool tell(struct victim_io *v, const char *command)
{
	char line[512];

	victim_tell(v, command);
	while (victim_line(v, line, sizeof(line))) {
		if (!strcmp(line, "done"))
			return true;
		if (strncmp(line, "count ", 6)) {
			printf("# victim: %s\n", line);
			return false;
		}
	}
	printf("# nothing more after '%s'\n", command);
	return false;
}

static bool start(struct victim_io *v, struct all *a, char *victim, bool use_hash)
{
	if (victim_start(v, (char *[]){ victim, NULL }) || !all_open(a, use_hash) || !all_add(a, victim))
		return tap_ok(false, "the victim starts");
	setvbuf(v->out, NULL, _IONBF, 0);
	return true;
}

/* Each close waits a second for such threads, then leaves them what they stand on. */
static void test_parked(char *victim, bool use_hash, const char *how, bool again)
{
	struct victim_io v = { 0 };
	struct all a;
	bool ok = true;

	if (!start(&v, &a, victim, use_hash))
		return;
	ok = all_attach(&a, v.pid) && tell(&v, how);
	if (again) {
		all_detach(&a);
		ok = ok && all_attach(&a, v.pid);
	}
	all_detach(&a);
	ok = ok && tell(&v, "release") && tell(&v, "work 1000");
	tap_ok(ok, "%s: threads stopped inside slots and programs%s find their way back when these are gone", how,
	       use_hash ? " with helpers" : "");
	ok = ok && all_attach(&a, v.pid) && tell(&v, "work 1000");
	tap_ok(ok, "and probes work as before");
	all_close(&a);
	tap_eq(victim_end(&v), 0, "the victim ends well");
}

static void test_asleep(char *victim)
{
	struct victim_io v = { 0 };
	struct all a, b;
	bool ok = true;

	if (!start(&v, &a, victim, false))
		return;
	for (int i = 0; i < ROUNDS && ok; i++) {
		ok = all_attach(&a, v.pid) && tell(&v, "enter 12");
		all_detach(&a);
		if (i % 2)
			ok = ok && all_attach(&a, v.pid) && tell(&v, "work 1000");
		ok = ok && tell(&v, "leave") && tell(&v, "work 1000");
		all_detach(&a);
	}
	tap_ok(ok, "%d times threads return, throw, jump and exit after the probes of their calls are gone", ROUNDS);
	tap_eq(victim_end(&v), 0, "the victim ends well");
	all_close(&a);
	if (!start(&v, &a, victim, false) || !all_open(&b, true) || !all_add(&b, victim))
		return;
	ok = all_attach(&a, v.pid);
	for (int i = 0; i < ROUNDS && ok; i++) {
		ok = all_attach(&b, v.pid) && all_do(&a, &v, "enter 12");
		all_detach(&b);
		ok = ok && all_do(&a, &v, "work 1000") && all_attach(&b, v.pid) && all_do(&a, &v, "leave");
		all_detach(&b);
	}
	tap_ok(ok, "the same when others come and go: all counts are right");
	all_close(&b);
	all_close(&a);
	tap_eq(victim_end(&v), 0, "the victim ends well");
}

static void test_unloaded(char *victim, char *library)
{
	struct victim_io v = { 0 };
	struct all a;
	uint64_t in, out;
	bool ok = true;

	setenv("UNWIND_LIB", library, 1);
	if (!start(&v, &a, victim, false) || !all_add(&a, library))
		return;
	ok = all_attach(&a, v.pid);
	for (int i = 0; i < ROUNDS && ok; i++)
		ok = tell(&v, "leak 1000") && all_do(&a, &v, "work 1000");
	all_sum(&a, 1, &in, &out);
	tap_ok(ok && in >= ROUNDS * 1000, "%d times a library goes whose functions never returned (%llu calls)", ROUNDS,
	       (unsigned long long)in);
	all_close(&a);
	tap_eq(victim_end(&v), 0, "the victim ends well");
}

static int count_maps(pid_t pid)
{
	char name[64];
	FILE *maps;
	int c, n = 0;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	maps = fopen(name, "r");
	while (maps && (c = getc(maps)) != EOF)
		n += c == '\n';
	if (maps)
		fclose(maps);
	return n;
}

/* Calls that never return keep the code that they would return through, but not for ever. */
static void test_leaks(char *victim)
{
	struct victim_io v = { 0 };
	struct all a;
	int before, after;
	bool ok = true;

	if (!start(&v, &a, victim, false))
		return;
	before = count_maps(v.pid);
	for (int i = 0; i < 100 && ok; i++) {
		ok = all_attach(&a, v.pid) && tell(&v, "jump 20") && tell(&v, "work 20");
		all_detach(&a);
	}
	after = count_maps(v.pid);
	printf("# %d mappings, then %d\n", before, after);
	tap_ok(ok && after < before + 60, "100 times probes come and go on functions that are left by longjmp");
	tap_eq(victim_end(&v), 0, "the victim ends well");
	all_close(&a);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 99;
	test_parked(argv[1], false, "park 6", false);
	test_parked(argv[1], true, "park 6", true);
	test_parked(argv[1], true, "parkalt 4", false);
	test_asleep(argv[1]);
	test_leaks(argv[1]);
	test_unloaded(argv[1], argv[2]);
	return tap_done();
}
