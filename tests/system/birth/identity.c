/* SPDX-License-Identifier: MIT */
/*
 * A probe is on a file, not on a name: whoever maps that file is concerned, however he came by it; a path is looked up as
 * the loader itself would.
 */
#include "birth.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], file[96], other[96];

/* A fresh file of its own inode. */
static void fresh(void)
{
	unlink(file);
	unlink(other);
	if (!copy_file(newborn, file))
		tap_ok(false, "a copy of newborn");
}

static void run(const char *path, const char *action, const char *want, const char *what)
{
	char *const argv[] = {(char *)path, (char *)action, NULL};

	tap_eq(ended(stranger(argv, NULL, NULL)), 0, "%s: it is well", what);
	counts_are(want, what);
}

static void test_names(void)
{
	fresh();
	tap_ok(!link(file, other) && watch_file(other, "main", -1), "links by another name of the file");
	run(file, "main:4", "main_ctor 2 main_fn 4", "started by the first name");
	run(other, "main:5", "main_ctor 2 main_fn 5", "started by the second");
	unwatch();
	fresh();
	tap_ok(!symlink(file, other) && watch_file(other, "main", -1), "links by a symbolic link");
	run(file, "main:4", "main_ctor 2 main_fn 4", "started by its name");
	unwatch();
	fresh();
	tap_ok(watch_file(file, "main", -1) && copy_file(file, other), "a file, and a copy");
	run(other, "main:5", "", "the copy is another file");
	unwatch();
}

static void test_moves(void)
{
	char *const argv[] = {file, "wait", "main:3", "wait", "main:4", NULL};
	char path[64];
	int in, out;
	pid_t pid;

	fresh();
	pid = stranger(argv, &in, &out);
	tap_ok(is_ready(out) && watch_file(file, "main", -1), "a process runs, links on its file");
	tap_ok(!rename(file, other), "the file gets another name");
	run(other, "main:5", "main_ctor 2 main_fn 5", "started by the new name");
	tap_ok(copy_file(newborn, file), "another file gets the old one");
	run(file, "main:5", "", "that is not meant");
	go_on(in);
	tap_ok(is_ready(out), "the process goes on");
	counts_are("main_fn 3", "and is counted");
	unwatch();
	unlink(other);
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	tap_ok(watch_file(path, "main", -1), "its file has no name any more; links by /proc/PID/exe");
	run(file, "main:5", "", "the file that has its name now");
	go_on(in);
	tap_eq(ended(pid), 0, "the process ends well");
	counts_are("main_fn 4", "and was counted");
	unwatch();
	close(in);
	close(out);
}

/* As package managers do it. */
static void test_replaced(void)
{
	fresh();
	tap_ok(watch_file(file, "main", -1), "links on a file");
	tap_ok(copy_file(newborn, other) && !rename(other, file), "it is replaced by another of the same name");
	run(file, "main:5", "", "which is not meant");
	tap_ok(watch_file(file, "main", -1), "links on the new one, beside the old");
	run(file, "main:5", "main_ctor 2 main_fn 5", "started");
	unwatch();
}

static void test_second_mapping(void)
{
	fresh();
	tap_ok(watch_file(file, "main", -1), "links on a file");
	run(file, "again:7", "main_ctor 2 main_fn 7", "a second mapping of it in the same process");
	unwatch();
}

/* Paths that mean something else for everybody. */
static void test_paths(void)
{
	char name[200];
	pid_t pid;
	int in, out;

	fresh();
	if (chdir(dir))
		return;
	tap_ok(watch_file("./newborn", "main", -1), "a relative path");
	run(file, "main:4", "main_ctor 2 main_fn 4", "started");
	unwatch();
	tap_ok(watch_file("/proc/self/cwd/newborn", "main", -1), "a path through /proc/self");
	run(file, "main:4", "main_ctor 2 main_fn 4", "started");
	unwatch();
	if (chdir("/"))
		return;
	pid = stranger((char *const[]){file, "wait", "main:6", NULL}, &in, &out);
	snprintf(name, sizeof(name), "/proc/%d/root%s", (int)pid, file);
	tap_ok(is_ready(out) && watch_file(name, "main", pid), "a path through /proc/PID/root");
	go_on(in);
	tap_eq(ended(pid), 0, "the process is well");
	counts_are("main_fn 6", "and counted");
	unwatch();
	close(in);
	close(out);
}

/* The loader goes to live in another root: what is /newborn there. */
static void test_chroot(void)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool ok;

	fresh();
	ok = !chroot(dir) && !chdir("/") && watch_file("/newborn", "main", -1);
	tap_ok(!fchdir(root) && !chroot(".") && ok, "a loader in another root makes links by its own path");
	run(file, "main:4", "main_ctor 2 main_fn 4", "started outside");
	unwatch();
	close(root);
}

/* A loader that sees another file under that name than everybody else does. */
static void test_mount_namespace(void)
{
	int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	bool ok;

	fresh();
	close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
	ok = !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	     !mount(file, other, NULL, MS_BIND, NULL);
	tap_ok(ok && watch_file(other, "main", -1), "a loader in another mount namespace makes links by its own name");
	tap_ok(!setns(home, CLONE_NEWNS), "and comes back");
	run(file, "main:4", "main_ctor 2 main_fn 4", "started outside");
	unwatch();
	close(home);
}

/* In a loader of its own, whose process ids are other ones: it must mean its own child. */
static int loader_in_pid_namespace(int argc, char **argv)
{
	char *const rest[] = {(char *)"newborn", (char *)"wait", (char *)"main:6", NULL};
	char path[64];
	int in, out;
	pid_t pid;

	if (mount("none", "/proc", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", "/proc", "proc", 0, NULL) ||
	    birth_load(argc, argv))
		return 2;
	pid = stranger((char *const[]){(char *)newborn, rest[1], rest[2], NULL}, &in, &out);
	if (!is_ready(out) || pid > 100 || !watch_file(newborn, "main", pid))
		return 3;
	go_on(in);
	if (ended(pid) || strcmp(counted(), "main_fn 6"))
		return 4;
	unwatch();
	pid = stranger((char *const[]){(char *)newborn, rest[1], rest[2], NULL}, &in, &out);
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if (!is_ready(out) || !watch_file(path, "main", pid))
		return 5;
	go_on(in);
	if (ended(pid) || strcmp(counted(), "main_fn 6"))
		return 6;
	unwatch();
	errno = 0;
	return !watch_file(newborn, "main", pid) && errno == ESRCH ? 0 : 7;
}

static void test_pid_namespace(int argc, char **argv)
{
	int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	fflush(stdout);
	if (!tap_ok(!unshare(CLONE_NEWPID | CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL),
		    "a pid namespace"))
		return;
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(loader_in_pid_namespace(argc, argv));
	tap_eq(ended(pid), 0, "a loader there counts its child by the number that it has there");
	tap_ok(!setns(home, CLONE_NEWNS) && !setns(pids, CLONE_NEWPID), "back again");
	close(home);
	close(pids);
}

static void shell(const char *unshare, const char *script, const char *want, const char *what)
{
	char *const argv[] = {"/usr/bin/unshare", (char *)unshare, "--fork", "/bin/sh", "-c", (char *)script, file, other, NULL};

	tap_eq(ended(stranger(argv, NULL, NULL)), 0, "%s: it is well", what);
	counts_are(want, what);
}

static void test_namespaces(void)
{
	char script[400];

	fresh();
	close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0755)); /* to mount on */
	tap_ok(watch_file(file, "main", -1), "links on a file, for all processes");
	shell("-m", "mount --bind \"$0\" \"$1\" && \"$1\" main:5", "main_ctor 2 main_fn 5", "elsewhere in another mount namespace");
	shell("-p", "\"$0\" main:5", "main_ctor 2 main_fn 5", "in another pid namespace");
	shell("-mp", "mount -t proc none /proc && mount --bind \"$0\" \"$1\" && \"$1\" main:5 exec main:2", "main_ctor 4 main_fn 7",
	      "in both");
	snprintf(script, sizeof(script), "mount -t tmpfs none %s && cp %s %s/copy && %s/copy main:5", dir, newborn, dir, dir);
	shell("-m", script, "", "a copy in a file system that only it can see");
	unwatch();
}

int main(int argc, char **argv)
{
	birth_begin(argc, argv);
	snprintf(dir, sizeof(dir), "/tmp/newborn-dir-%d", (int)getpid());
	snprintf(file, sizeof(file), "%s/newborn", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	if (!tap_ok(!mkdir(dir, 0755), "a directory"))
		return tap_done();
	test_names();
	test_moves();
	test_replaced();
	test_second_mapping();
	test_paths();
	test_chroot();
	test_mount_namespace();
	test_pid_namespace(argc, argv);
	test_namespaces();
	unlink(file);
	unlink(other);
	rmdir(dir);
	return tap_done();
}
