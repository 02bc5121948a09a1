/* SPDX-License-Identifier: MIT */
/*
 * Root's broker and an ordinary user's, side by side: each serves its own user, counts exactly, and leaves alone what
 * the other has attached.
 */
#include "stage.h"

#include <limits.h>
#include <sys/stat.h>

#define USER 1000

static char users_dir[64]; /* XDG_RUNTIME_DIR */

static const char *counter(void)
{
	static char path[128];
	char command[2 * PATH_MAX + 64];

	if (!*path) {
		snprintf(path, sizeof(path), "%s/counter", users_dir);
		snprintf(command, sizeof(command), "cp %s %s && chmod 755 %s", stage_victim("counter"), path, path);
		if (system(command))
			printf("# no victim\n");
	}
	return path;
}

/* Starts argv[0..n) as the user; with a runtime directory by default rules. */
static bool start_as_user(struct victim_io *v, const char *a, const char *b, const char *c, const char *d)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "XDG_RUNTIME_DIR=%s", users_dir);
	return !victim_start(v, (char *[]){"/usr/bin/env", "-u", "NOTRAP_DIR", dir, "setpriv", "--reuid", "1000", "--regid",
					   "1000", "--clear-groups", (char *)a, (char *)b, (char *)c, (char *)d, NULL});
}

static bool user_loader(struct victim_io *l)
{
	char notrap[PATH_MAX];

	snprintf(notrap, sizeof(notrap), "%s", stage_tool("notrap"));
	return start_as_user(l, notrap, "run", "--", getenv("ROBUST_LOADER"));
}

static int user_runs(const char *command)
{
	char line[PATH_MAX + 256];

	fflush(stdout);
	snprintf(line, sizeof(line),
		 "env -u NOTRAP_DIR XDG_RUNTIME_DIR=%s setpriv --reuid 1000 --regid 1000 --clear-groups %s %s", users_dir,
		 stage_tool("notrap"), command);
	return system(line);
}

static bool attach_both(struct victim_io *l, int pid)
{
	return loader_does(l, "attach 0 in %s all %d", counter(), pid) && loader_does(l, "attach 1 out %s all %d", counter(), pid);
}

static bool detach_both(struct victim_io *l)
{
	return loader_does(l, "detach 0") && loader_does(l, "detach 1");
}

static bool both_count(struct victim_io *l, unsigned long long n)
{
	return loader_counts(l, "in", n) && loader_counts(l, "out", n);
}

static void test_directory(void)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/notrap", users_dir);
	tap_ok(!stat(path, &st) && S_ISDIR(st.st_mode), "a directory for the broker was made");
	tap_eq(st.st_mode & 07777, 0700, "which only its owner can enter");
	tap_eq(st.st_uid, USER, "and that is the user");
}

static void test_side_by_side(struct victim_io *mine, struct victim_io *theirs)
{
	struct victim_io root, user;

	tap_ok(user_loader(&user), "the user's loader");
	test_directory();
	tap_ok(attach_both(&user, -1), "attaches to all processes");
	tap_ok(victim_do(theirs, "run 2 500") && victim_do(mine, "run 2 100"), "his and root's victim run");
	tap_ok(both_count(&user, 1000), "only his is counted, exactly");
	tap_eq(code_differs(mine->pid), 0, "root's is not touched");
	tap_ok(!strncmp(loader_ask(&user, "attach 2 in %s all %d", counter(), (int)mine->pid), "error 1 ", 8),
	       "and cannot be attached: EPERM");
	tap_ok(loader_start(&root) && attach_both(&root, -1), "root's loader attaches to all");
	tap_ok(victim_do(theirs, "run 2 500") && victim_do(mine, "run 2 100"), "both run");
	tap_ok(both_count(&root, 200) && both_count(&user, 2000), "each counts its own");
	loader_does(&root, "zero");
	tap_ok(detach_both(&root), "root's detaches");
	tap_ok(!user_runs("ps --json >/dev/null") && !user_runs("plan /bin/true >/dev/null"), "the user has notrap ps and plan");
	/* The functions are taken: nothing is to be had there, and nothing may break. */
	loader_does(&root, "attach 0 in %s all %d", counter(), (int)theirs->pid);
	tap_ok(victim_do(theirs, "run 2 500") && both_count(&user, 3000), "root's attach to the user's victim does no harm");
	loader_does(&root, "detach 0");
	tap_ok(victim_do(theirs, "run 2 500") && both_count(&user, 4000), "nor does its detach");
	tap_eq(loader_end(&user), 0, "the user's loader ends");
	tap_ok(victim_do(theirs, "run 2 100"), "his victim goes on");
	tap_eq(code_differs(theirs->pid), 0, "with its own code");
	loader_does(&root, "zero");
	tap_ok(loader_does(&root, "attach 0 in %s all %d", counter(), (int)theirs->pid) && victim_do(theirs, "run 2 500") &&
		       loader_counts(&root, "in", 1000),
	       "now root can count in it");
	tap_eq(loader_end(&root), 0, "root's loader ends");
	tap_eq(code_differs(theirs->pid), 0, "and leaves nothing behind");
}

/* A broker that starts takes out what dead ones left, but never what a living one has. */
static void test_start_of_another(struct victim_io *mine)
{
	char other[] = "/tmp/notrap-robust-XXXXXX", command[128];
	struct victim_io first, second;

	tap_ok(mkdtemp(other) && loader_start(&first) && attach_both(&first, mine->pid), "a loader of root's");
	setenv("NOTRAP_DIR", other, 1);
	tap_ok(loader_start(&second), "another one, with a broker of its own in another directory");
	tap_ok(victim_do(mine, "run 2 100") && both_count(&first, 200), "does not disturb the first");
	tap_eq(loader_end(&second), 0, "it ends");
	snprintf(command, sizeof(command), "%s stop -a >/dev/null; rm -rf %s", stage_tool("notrap"), other);
	tap_ok(!system(command), "and its broker");
	setenv("NOTRAP_DIR", stage_dir(), 1);
	tap_ok(victim_do(mine, "run 2 100") && both_count(&first, 400), "the first goes on");
	tap_eq(loader_end(&first), 0, "and ends");
	tap_eq(code_differs(mine->pid), 0, "nothing is left");
}

int main(void)
{
	struct victim_io mine = {0}, theirs = {0};
	char command[128];

	if (geteuid())
		tap_skip_all("only root can become another user");
	stage_begin();
	strcpy(users_dir, "/tmp/notrap-user-XXXXXX");
	if (!mkdtemp(users_dir) || chown(users_dir, USER, USER))
		tap_skip_all("no directory for the user");
	if (!start_as_user(&theirs, counter(), NULL, NULL, NULL))
		tap_skip_all("the user cannot run programs of this build folder");
	if (victim_start(&mine, (char *[]){(char *)counter(), NULL}))
		tap_skip_all("no victim");
	test_side_by_side(&mine, &theirs);
	test_start_of_another(&mine);
	tap_eq(victim_end(&mine), 0, "root's victim found every result right");
	tap_eq(victim_end(&theirs), 0, "the user's, too");
	user_runs("stop -a >/dev/null");
	snprintf(command, sizeof(command), "rm -rf %s", users_dir);
	tap_ok(!system(command), "the user's directory is removed");
	tap_ok(stage_end(tap_failed), "no process of the broker is left");
	return tap_done();
}
