/* SPDX-License-Identifier: MIT */
/*
 * What names mean to a client. It may live in another root, mount or pid namespace than the broker: a loader in a
 * container whose runtime folder is ours, `unshare`, chroot. The kernel looks a path up from the caller's root and a
 * process id in the caller's namespace; so do we, from outside:
 *
 *     path         from /proc/CLIENT/root, or /cwd, with that as the root that ".." and absolute links cannot leave
 *     /proc/N/...  is the /proc of the client's namespace, which we see under another number (such links, as exe and root
 *                  are, cannot be followed under a root that must not be left: so they are looked up from ours)
 *     pid          the process that has that number in the client's namespace: the NSpid line of its status
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "broker/client.h"
#include "util/fd.h"
#include "util/proc.h"

/* --- process ids --- */

/* Inode of a namespace, 0: not to be seen. */
static u64 namespace_of(pid_t pid, const char *kind)
{
	char path[40];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
	return stat(path, &st) ? 0 : st.st_ino;
}

static bool shares_namespace(const struct client *c, const char *kind)
{
	u64 theirs = namespace_of(c->pid, kind);

	return !theirs || theirs == namespace_of(getpid(), kind);
}

bool client_shares_pids(const struct client *c)
{
	return shares_namespace(c, "pid");
}

/* Is this process in the pid namespace ns, or in one below it? */
static bool is_within(pid_t pid, u64 ns)
{
	char path[40];
	struct stat st;
	bool is = false;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	for (fd = open(path, O_RDONLY | O_CLOEXEC); fd >= 0 && !is;) {
		int parent = -1;

		is = !fstat(fd, &st) && st.st_ino == ns;
		if (!is)
			parent = ioctl(fd, NS_GET_PARENT);
		close(fd);
		fd = parent;
	}
	return is;
}

struct wanted {
	u64 ns;
	u32 level;
	pid_t pid, found;
};

static bool is_wanted(pid_t pid, void *arg)
{
	struct wanted *w = arg;
	struct proc_status st;

	if (proc_status_read(pid, &st) || st.nns <= w->level || st.ns[w->level] != w->pid || !is_within(pid, w->ns))
		return false;
	w->found = pid;
	return true;
}

int client_pid_here(struct client *c, pid_t pid, pid_t *ret)
{
	struct wanted w = {.pid = pid};
	struct proc_status st;

	if (pid <= 0 || shares_namespace(c, "pid")) {
		*ret = pid;
		return 0;
	}
	if (proc_status_read(c->pid, &st) || !st.nns)
		return -ESRCH;
	w.ns = namespace_of(c->pid, "pid");
	w.level = st.nns - 1;
	proc_pids_each((uid_t)-1, is_wanted, &w);
	if (!w.found)
		return -ESRCH;
	*ret = w.found;
	return 0;
}

pid_t client_pid_there(struct client *c, pid_t pid)
{
	struct proc_status st, theirs;

	if (pid <= 0 || shares_namespace(c, "pid"))
		return pid;
	if (proc_status_read(c->pid, &st) || proc_status_read(pid, &theirs) || theirs.nns < st.nns ||
	    !is_within(pid, namespace_of(c->pid, "pid")))
		return 0;
	return theirs.ns[st.nns - 1];
}

/* --- paths --- */

static bool shares_root(struct client *c)
{
	char name[32];
	struct stat ours, theirs;

	snprintf(name, sizeof(name), "/proc/%d/root", c->pid);
	return shares_namespace(c, "mnt") && stat("/", &ours) == 0 && stat(name, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* "/proc/self/..." and, for a client in another world, "/proc/N/...": whose that is and what follows. False: another
 * path. *ret 0: of nobody. */
static bool path_is_proc(struct client *c, const char *path, bool elsewhere, pid_t *ret, const char **ret_tail)
{
	static const char *const self[] = {"/proc/self", "/proc/thread-self"};
	char *end;
	long n;

	for (size_t i = 0; i < bits_count(self); i++) {
		size_t len = strlen(self[i]);

		if (!strncmp(path, self[i], len) && (path[len] == '/' || !path[len])) {
			*ret = c->pid;
			*ret_tail = path + len;
			return true;
		}
	}
	if (!elsewhere || strncmp(path, "/proc/", 6) || path[6] < '1' || path[6] > '9')
		return false;
	n = strtol(path + 6, &end, 10);
	if (*end && *end != '/')
		return false;
	if (n > INT32_MAX || client_pid_here(c, (pid_t)n, ret))
		*ret = 0;
	*ret_tail = end;
	return true;
}

/* An absolute path in a client that lives in another root (chroot, container). */
static int open_in_root(struct client *c, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	char name[32];
	int root fd_auto = -1;
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/root", c->pid);
	root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

static int open_relative(struct client *c, const char *path)
{
	char name[32];
	int cwd fd_auto = -1;
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/cwd", c->pid);
	cwd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (cwd < 0)
		return -errno;
	fd = openat(cwd, path, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int client_open_path(struct client *c, const char *path)
{
	bool elsewhere = path[0] == '/' && (!shares_root(c) || !shares_namespace(c, "pid"));
	char name[PATH_MAX + 32];
	const char *tail;
	pid_t pid;
	int fd;

	if (path[0] != '/')
		return open_relative(c, path);
	if (path_is_proc(c, path, elsewhere, &pid, &tail)) {
		snprintf(name, sizeof(name), "/proc/%d%s", pid, tail); /* there is no process 0 */
		path = name;
	} else if (elsewhere) {
		return open_in_root(c, path);
	}
	fd = open(path, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
