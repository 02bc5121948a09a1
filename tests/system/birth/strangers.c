/* SPDX-License-Identifier: MIT */
/*
 * Processes that the loader has nothing to do with: they begin to use a probed file, by exec or by dlopen, after the
 * links were made. The kernel loses no call; nor does a broker that may have permission events.
 */
#include "birth.h"

#include <sys/wait.h>
#include <unistd.h>

static void run(char *const argv[], const char *want, const char *what)
{
	tap_eq(ended(stranger(argv, NULL, NULL)), 0, "%s: it is well", what);
	counts_are(want, what);
}

static void test_started(void)
{
	char *const argv[] = {(char *)newborn, "main:50", "lib:70", "thread:5", "fork:6", "vfork:7", NULL};
	char *const shell[] = {"/bin/sh", "-c", "for i in 1 2 3 4 5; do \"$0\" main:10 exec main:1 & done; wait", (char *)newborn,
			       NULL};

	tap_ok(watch_all_files(-1), "links for all processes");
	run(argv, "main_ctor 2 main_fn 68 lib_ctor 3 lib_fn 70", "a program is started");
	run(shell, "main_ctor 20 main_fn 55 lib_ctor 30", "five at a time, which execute another");
	unwatch();
}

/* Only one of its files is probed. */
static void test_parts(void)
{
	char action[4200];
	char *const argv[] = {(char *)newborn, "main:5", "lib:7", action, NULL};

	snprintf(action, sizeof(action), "plugin:%s:6", plug);
	tap_ok(watch_file(newborn, "main", -1), "links on the program");
	run(argv, "main_ctor 2 main_fn 5", "started");
	unwatch();
	tap_ok(watch_file(library, "lib", -1), "links on its library");
	run(argv, "lib_ctor 3 lib_fn 7", "started");
	unwatch();
	tap_ok(watch_file(plug, "plug", -1), "links on what it loads later");
	run(argv, "plug_ctor 4 plug_fn 6", "started");
	unwatch();
}

/* It runs already, and has nothing of what is probed. */
static void test_dlopen(void)
{
	char action[4200];
	char *const argv[] = {(char *)newborn, "wait", action, "wait", NULL};
	int in, out;
	pid_t pid;

	snprintf(action, sizeof(action), "plugin:%s:6", plug);
	pid = stranger(argv, &in, &out);
	tap_ok(is_ready(out) && watch_file(plug, "plug", -1), "a process runs, links on a library that it does not have");
	go_on(in);
	tap_ok(is_ready(out), "it loads the library");
	counts_are("plug_ctor 4 plug_fn 6", "loaded with dlopen");
	unwatch();
	go_on(in);
	tap_eq(ended(pid), 0, "it is well");
	close(in);
	close(out);
}

/* Others read the file; it is not for them to wait or to be changed. */
static void test_readers(void)
{
	char *const argv[] = {"/bin/cat", (char *)library, NULL};
	int out;
	char buf[4096];
	long n, all = 0;
	pid_t pid;

	tap_ok(watch_file(library, "lib", -1), "links on a library");
	pid = stranger(argv, NULL, &out);
	while ((n = read(out, buf, sizeof(buf))) > 0)
		all += n;
	tap_ok(!ended(pid) && all > 4096, "somebody reads it");
	counts_are("", "nothing is counted");
	unwatch();
	close(out);
}

int main(int argc, char **argv)
{
	birth_begin(argc, argv);
	test_started();
	test_parts();
	test_dlopen();
	test_readers();
	return tap_done();
}
