/* SPDX-License-Identifier: MIT */
/*
 * A loader ends in every way but the orderly one: what it attached is detached within a second, the original bytes are
 * back, the victim goes on.
 */
#include "stage.h"

#include <limits.h>

#define SOON_MS 1000

static const char *counter(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", stage_victim("counter"));
	return path;
}

static bool attach_both(struct victim_io *l, pid_t pid)
{
	return loader_does(l, "attach 0 in %s all %d", counter(), (int)pid) &&
	       loader_does(l, "attach 1 out %s all %d", counter(), (int)pid);
}

static bool code_is_whole(void *arg)
{
	return code_differs(*(pid_t *)arg) == 0;
}

static void check_detached(struct victim_io *v, const char *how)
{
	tap_ok(no_sites(v->pid, SOON_MS), "%s: detached at once", how);
	tap_ok(within(SOON_MS, code_is_whole, &v->pid), "the original bytes are back");
	tap_ok(victim_do(v, "run 2 100"), "the victim goes on");
}

static void test_kill(void)
{
	struct victim_io v = victim_make("counter", NULL, NULL), l;

	tap_ok(loader_start(&l) && attach_both(&l, v.pid), "a loader with two links");
	tap_ok(victim_do(&v, "run 2 100") && loader_counts(&l, "in", 200) && loader_counts(&l, "out", 200), "which count");
	tap_eq(ps_of(v.pid).links, 2, "notrap ps shows both");
	loader_kill(&l);
	check_detached(&v, "killed while idle");
	tap_eq(ps_links(), 0, "no link is left");
	tap_eq(victim_end(&v), 0, "and found every result right");
}

static void test_kill_busy(void)
{
	struct victim_io v = victim_make("counter", NULL, NULL), l;

	tap_ok(victim_do(&v, "spin") && loader_start(&l) && attach_both(&l, v.pid), "two links on busy threads");
	nap_ms(50);
	loader_kill(&l);
	tap_ok(no_sites(v.pid, SOON_MS), "killed: detached at once");
	tap_ok(victim_do(&v, "still"), "the victim goes on");
	check_detached(&v, "still");
	tap_eq(victim_end(&v), 0, "and found every result right");
}

/* One after the other, in the midst of attaching and detaching. */
static void test_kill_random(int rounds)
{
	struct victim_io v = victim_make("counter", NULL, NULL);
	int left = 0, differs = 0;
	char line[PATH_MAX + 64];

	victim_do(&v, "spin");
	snprintf(line, sizeof(line), "churn %s all %d 100000", counter(), (int)v.pid);
	for (int i = 0; i < rounds; i++) {
		struct victim_io l;

		if (!loader_start(&l))
			break;
		victim_tell(&l, line);
		nanosleep(&(struct timespec){.tv_nsec = random() % 80000000}, NULL);
		loader_kill(&l);
		left += !no_sites(v.pid, SOON_MS);
		differs += code_differs(v.pid) != 0;
	}
	tap_eq(left, 0, "%d loaders killed at random moments: always detached", rounds);
	tap_eq(differs, 0, "always the original bytes");
	tap_ok(victim_do(&v, "still"), "the victim goes on");
	tap_eq(victim_end(&v), 0, "and found every result right");
}

/* 50,000 functions: the kill comes during the attach. */
static void test_kill_many(void)
{
	struct victim_io v = victim_make("manyfuncs", "2", NULL), l;
	int left = 0;

	for (int i = 0; i < 6; i++) {
		char line[PATH_MAX + 64];

		if (!loader_start(&l))
			break;
		snprintf(line, sizeof(line), "attach 0 in %s f????? %d", stage_victim("manyfuncs"), (int)v.pid);
		victim_tell(&l, line);
		nap_ms(20 + 30 * (unsigned)i);
		loader_kill(&l);
		left += !no_sites(v.pid, 2000);
	}
	tap_eq(left, 0, "killed while it attaches 50,000 functions: detached");
	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s f????? %d", stage_victim("manyfuncs"), (int)v.pid),
	       "another attaches them all");
	tap_eq(ps_of(v.pid).sites, 50000 + 1, "which shows, with the one in the dynamic linker");
	loader_kill(&l);
	tap_ok(no_sites(v.pid, SOON_MS), "killed while idle: detached at once");
	tap_eq(code_differs(v.pid), 0, "the original bytes are back");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

static void test_ends(void)
{
	struct victim_io v = victim_make("counter", NULL, NULL), l;

	tap_ok(loader_start(&l) && attach_both(&l, v.pid), "two links");
	victim_tell(&l, "leave");
	tap_eq(loader_end(&l), 0, "the loader exits without destroying them");
	check_detached(&v, "exit");
	tap_ok(loader_start(&l) && attach_both(&l, v.pid), "two links");
	victim_tell(&l, "crash");
	tap_eq(loader_end(&l), 256 + SIGILL, "the loader crashes");
	check_detached(&v, "crash");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* A child has its parent's descriptors: the link stays until both are gone. */
static void test_fork(void)
{
	struct victim_io v = victim_make("counter", NULL, NULL), l;
	int child = 0;

	tap_ok(loader_start(&l) && attach_both(&l, v.pid) && sscanf(loader_ask(&l, "fork"), "pid %d", &child) == 1,
	       "a loader attaches, then forks");
	victim_tell(&l, "leave");
	tap_eq(loader_end(&l), 0, "it exits");
	nap_ms(300);
	tap_ok(ps_of(v.pid).sites > 0, "the link stays, because the child has it");
	tap_ok(victim_do(&v, "run 2 100"), "the victim goes on");
	kill(child, SIGKILL);
	check_detached(&v, "the child is killed");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

static void test_two(void)
{
	struct victim_io v = victim_make("counter", NULL, NULL), a, b;

	tap_ok(loader_start(&a) && loader_start(&b) && attach_both(&a, v.pid) && attach_both(&b, -1),
	       "two loaders on the same functions");
	tap_ok(victim_do(&v, "run 4 250"), "of a victim");
	tap_ok(loader_counts(&a, "in", 1000) && loader_counts(&a, "out", 1000), "the first counts exactly");
	tap_ok(loader_counts(&b, "in", 1000) && loader_counts(&b, "out", 1000), "the second, too");
	loader_kill(&a);
	tap_ok(victim_do(&v, "run 4 250") && loader_counts(&b, "in", 2000) && loader_counts(&b, "out", 2000),
	       "and goes on when the first is killed");
	tap_eq(loader_end(&b), 0, "it ends");
	check_detached(&v, "both gone");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* With a debugger at the victim nothing can be taken out. It is made up for when the debugger leaves. */
static void test_traced(void)
{
	struct victim_io v = victim_make("counter", NULL, NULL), l;
	pid_t tracer;

	tap_ok(loader_start(&l) && attach_both(&l, v.pid), "two links");
	tracer = stage_trace(v.pid);
	tap_ok(loader_does(&l, "detach 0"), "a link is closed while a debugger has the victim");
	tap_ok(victim_do(&v, "run 2 100") && loader_counts(&l, "in", 0) && loader_counts(&l, "out", 200),
	       "it does not count any more, the other one does");
	tap_ok(!strncmp(loader_ask(&l, "attach 0 in %s all %d", counter(), (int)v.pid), "error 16 ", 9),
	       "a new one is not possible: EBUSY");
	loader_kill(&l);
	nap_ms(300);
	tap_ok(ps_of(v.pid).sites > 0, "the loader is killed: the jumps are still there");
	tap_ok(victim_do(&v, "run 2 100"), "the victim goes on");
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	check_detached(&v, "the debugger leaves");
	tap_ok(loader_start(&l) && attach_both(&l, v.pid) && victim_do(&v, "run 2 100") && loader_counts(&l, "in", 200) &&
		       loader_counts(&l, "out", 200),
	       "it can be attached again, and counts exactly");
	tap_eq(loader_end(&l), 0, "the loader ends");
	check_detached(&v, "orderly");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

static void test_self(void)
{
	struct victim_io l;

	tap_ok(loader_start(&l), "a loader");
	tap_ok(!strcmp(loader_ask(&l, "self 1000"), "counts 1000"), "attaches to itself and counts its own calls");
	tap_ok(!strcmp(loader_ask(&l, "self 1000"), "counts 1000"), "twice");
	tap_eq(loader_end(&l), 0, "it ends");
}

int main(int argc, char **argv)
{
	stage_begin();
	stage_seed();
	if (argc > 1) {
		test_kill_random(atoi(argv[1]));
	} else {
		test_kill();
		test_kill_busy();
		test_kill_random(15);
		test_kill_many();
		test_ends();
		test_fork();
		test_two();
		test_traced();
		test_self();
	}
	tap_ok(stage_end(tap_failed), "no process of the broker is left");
	return tap_done();
}
