/* SPDX-License-Identifier: MIT */
/*
 * Whose filters has a process? All that its ancestors had installed when it was born, and its own. The first process of
 * a pid namespace is an ancestor of all in there (who is sent in from outside gets the container's profile, too). So
 * when the first process, we and the target have the same number of filters, they are the same filters: nobody has added
 * one. The number is in /proc/PID/status (Linux 5.9).
 *
 * What the filters allow is tried by a child of ours: a filter that kills kills that child.
 */
#include "broker/link/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <utlist.h>

#include "broker/broker.h"
#include "broker/client.h"
#include "util/fd.h"
#include "util/proc.h"

#define MAX_DEPTH 64 /* of ancestors that are looked at */

static long filters_of(pid_t pid)
{
	char path[40], text[4096];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (fd_read_text(path, text, sizeof(text)) <= 0)
		return -1;
	at = strstr(text, "\nSeccomp_filters:\t");
	return at ? strtol(at + strlen("\nSeccomp_filters:\t"), NULL, 10) : -1;
}

static bool same_pid_namespace(pid_t pid)
{
	struct stat ours, theirs;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	return !stat("/proc/self/ns/pid", &ours) && !stat(path, &theirs) && ours.st_ino == theirs.st_ino &&
	       ours.st_dev == theirs.st_dev;
}

static bool refused(long r)
{
	return r < 0 && (errno == EPERM || errno == ENOSYS || errno == EACCES);
}

/* Everything that inject/, link/, maps/ and payload/ do in a target, with arguments that do nothing. */
static bool try_all(void)
{
	struct timespec none = {};
	struct iovec io = {&none, sizeof(none)}, to = io;
	char name[16];
	int word = 0, pair[2];
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool bad = page == MAP_FAILED;

	bad |= refused(syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC));
	bad |= refused(syscall(SYS_madvise, page, 4096, MADV_WIPEONFORK));
	bad |= refused(syscall(SYS_munmap, page, 4096));
	bad |= refused(syscall(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, pair));
	bad |= refused(syscall(SYS_recvmsg, pair[0], NULL, MSG_DONTWAIT));
	bad |= refused(syscall(SYS_close, pair[0]));
	bad |= refused(syscall(SYS_gettid)) || refused(syscall(SYS_getpid)) || refused(syscall(SYS_getuid)) ||
	       refused(syscall(SYS_getgid));
	bad |= refused(syscall(SYS_prctl, PR_GET_NAME, name, 0, 0, 0));
	bad |= refused(syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0));
	bad |= refused(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &none));
	bad |= refused(syscall(SYS_process_vm_readv, getpid(), &to, 1, &io, 1, 0));
	bad |= refused(syscall(SYS_getrandom, name, 1, 0));
	bad |= refused(syscall(SYS_sched_yield));
	none = (struct timespec){};
	bad |= refused(syscall(SYS_nanosleep, &none, NULL));
	bad |= refused(syscall(SYS_kill, getpid(), 0)) || refused(syscall(SYS_tgkill, getpid(), gettid(), 0));
	bad |= refused(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, NULL, 8));
	return !bad;
}

static bool all_allowed(void)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(try_all() ? 0 : 1);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool is_shared(pid_t pid)
{
	static int allowed = -1; /* our own filters do not change: asked once */
	long ours = filters_of(getpid());

	if (ours <= 0 || filters_of(pid) != ours || !same_pid_namespace(pid) || filters_of(1) != ours)
		return false;
	if (allowed < 0)
		allowed = all_allowed();
	return allowed;
}

/* heirs: its children, too. */
static bool has_our_filter(struct broker *b, pid_t pid, bool heirs)
{
	struct client *c;

	DL_FOREACH(b->clients, c)
	{
		if (c->pid == pid && c->filtered)
			return !heirs || c->heirs;
	}
	return false;
}

/* A filter goes to the children, and cannot be taken off: who has one, and a parent with ours, has ours. */
bool sandbox_is_ours(struct broker *b, pid_t pid)
{
	struct proc_status status;

	if (filters_of(getpid()) || filters_of(pid) != 1)
		return false;
	for (int depth = 0; depth < MAX_DEPTH && pid > 1; depth++) {
		if (has_our_filter(b, pid, depth > 0))
			return true;
		if (proc_status_read(pid, &status) < 0)
			return false;
		pid = status.ppid;
	}
	return false;
}

bool sandbox_allows(struct broker *b, pid_t pid)
{
	return is_shared(pid) || sandbox_is_ours(b, pid);
}
