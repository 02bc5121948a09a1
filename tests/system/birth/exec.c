/* SPDX-License-Identifier: MIT */
/* A target that runs another program stays the target; which tasks of it are meant by a pid. */
#include "birth.h"

#include <sys/stat.h>
#include <unistd.h>

static char copy[64]; /* another file with the same bytes */

/* A process that waits before it does the rest. */
static pid_t waiting(char *const rest[], int *in, int *out)
{
	char *argv[16] = {(char *)newborn, "wait"};
	pid_t pid;

	for (int i = 0; rest[i]; i++)
		argv[2 + i] = rest[i];
	pid = stranger(argv, in, out);
	return is_ready(*out) ? pid : -1;
}

static void let_run_either(char *const rest[], bool one, const char *want, const char *notrap, const char *what)
{
	int in, out;
	pid_t pid = waiting(rest, &in, &out);

	tap_ok(pid > 0 && watch_all_files(one ? pid : -1), "%s: links on %s", what, one ? "the process" : "all processes");
	go_on(in);
	tap_eq(ended(pid), 0, "%s: it is well", what);
	counts_are_either(want, notrap, what);
	unwatch();
	close(in);
	close(out);
}

static void let_run(char *const rest[], bool one, const char *want, const char *what)
{
	let_run_either(rest, one, want, want, what);
}

static void test_exec(void)
{
	char *const once[] = {"main:5", "exec", "main:3", "lib:2", NULL};
	char *const twice[] = {"main:5", "exec", "exec", "main:3", NULL};
	char *const thread[] = {"main:5", "execthread", "main:3", "lib:2", NULL};
	const char *after_exec = "main_ctor 2 main_fn 8 lib_ctor 3 lib_fn 2";
	char as[80];
	char *const other[] = {"main:5", as, "main:3", "lib:4", NULL};

	snprintf(as, sizeof(as), "as:%s", copy);
	for (int one = 1; one >= 0; one--) {
		let_run(once, one, after_exec, "exec");
		let_run(twice, one, "main_ctor 4 main_fn 8 lib_ctor 6", "exec, twice");
		/* The kernel's filter is the task that led the process then; that is no more. */
		let_run_either(thread, one, one ? "main_fn 5" : after_exec, after_exec, "exec from another thread");
		let_run(other, one, "main_fn 5 lib_ctor 3 lib_fn 4", "exec of another file with the same library");
	}
}

static void test_tasks(void)
{
	char *const thread[] = {"main:1", "thread:5", NULL}, *const forked[] = {"main:1", "fork:5", NULL};
	char *const vforkexec[] = {"main:1", "vforkexec:5", NULL};
	char *const vforked[] = {"main:1", "vfork:5", NULL}, *const spawned[] = {"main:1", "spawn:5", NULL};

	let_run(thread, true, "main_fn 6", "a thread is the process");
	let_run(forked, true, "main_fn 1", "a forked child is not");
	let_run_either(vforked, true, "main_fn 1", "main_fn 6", "nor one of vfork, though it has the same memory");
	let_run(spawned, true, "main_fn 1", "nor one of posix_spawn");
	let_run(thread, false, "main_fn 6", "a thread");
	let_run(forked, false, "main_fn 6", "a forked child");
	let_run(vforked, false, "main_fn 6", "one of vfork");
	let_run(vforkexec, false, "main_ctor 2 main_fn 6 lib_ctor 3", "one of vfork that is slow to run another program");
	let_run(vforkexec, true, "main_fn 1", "nor that");
	let_run(spawned, false, "main_ctor 2 main_fn 6 lib_ctor 3", "one of posix_spawn");
}

/* A link for a process is one for its life: nobody else with its number, and not for a thread. */
static void test_pids(void)
{
	char *const rest[] = {"main:1", NULL};
	int in, out;
	pid_t pid = waiting(rest, &in, &out);

	tap_ok(watch_file(newborn, "main", pid), "a link on a process");
	go_on(in);
	tap_eq(ended(pid), 0, "it ends");
	counts_are("main_fn 1", "its call");
	errno = 0;
	tap_ok(!watch_file(newborn, "main", pid) && errno == ESRCH, "a process that is no more: ESRCH");
	unwatch();
	close(in);
	close(out);
}

int main(int argc, char **argv)
{
	birth_begin(argc, argv);
	snprintf(copy, sizeof(copy), "/tmp/newborn-copy-%d", (int)getpid());
	if (!tap_ok(copy_file(newborn, copy), "another file with the same bytes"))
		return tap_done();
	test_exec();
	test_tasks();
	test_pids();
	unlink(copy);
	return tap_done();
}
