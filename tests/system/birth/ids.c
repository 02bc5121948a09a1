/* SPDX-License-Identifier: MIT */
/*
 * Ids that programs see in a process of another pid namespace are those of the kernel's first one, not the process' own:
 * two containers' threads must not be taken for each other.
 */
#include "birth.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The only child that it has, waited for. */
static pid_t child_of(pid_t pid)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	for (int i = 0; i < 100 && !atoi(text); i++) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (read(fd, text, sizeof(text) - 1) <= 0)
			usleep(10000);
		close(fd);
	}
	return atoi(text);
}

static pid_t tgid(unsigned int n)
{
	return (pid_t)(caller_id(n) >> 32);
}

static pid_t tid(unsigned int n)
{
	return (pid_t)caller_id(n);
}

/* Those of a new namespace begin at 1; the first one's stay clear of 300 when they begin anew (RESERVED_PIDS). */
static bool is_first_ones(pid_t id)
{
	return id >= 300;
}

/* first: links are made before the process starts. Its calls: one, one in a thread, one in a child, one in a child's
 * program, one again. */
static void test(bool inside, bool first)
{
	char *argv[] = {"/usr/bin/unshare", "-p", "--fork", (char *)newborn, "wait", "main:1", "thread:1", "fork:1", "spawn:1",
			"main:1", "wait", NULL};
	const char *where = inside ? "in a namespace of its own" : "in ours", *when = first ? "later" : "already";
	int in, out;
	pid_t pid, outer;

	if (first)
		tap_ok(watch_file(newborn, "main", -1), "links");
	outer = stranger(inside ? argv : argv + 3, &in, &out);
	if (!tap_ok(is_ready(out), "a process %s runs %s", where, when))
		return;
	pid = inside ? child_of(outer) : outer;
	if (!first)
		tap_ok(watch_file(newborn, "main", -1), "links");
	go_on(in);
	tap_ok(is_ready(out) && caller_id(4), "it makes calls, also in a thread and in two children");
	tap_ok(tgid(0) == pid && tid(0) == pid, "its ids are %d", (int)pid);
	tap_ok(tgid(1) == pid && is_first_ones(tid(1)) && tid(1) != pid, "a thread has its process' id, and one of its own");
	tap_ok(tgid(2) == tid(2) && is_first_ones(tid(2)) && tid(2) != pid, "a forked child has its own");
	tap_ok(tgid(3) == tid(3) && is_first_ones(tid(3)) && tid(3) != tid(2), "a started program has its own");
	tap_ok(tgid(4) == pid && tid(4) == pid, "those of the first are as before");
	if (tap_failed)
		for (unsigned int i = 0; i < 5; i++)
			printf("# %d: %d %d\n", i, (int)tgid(i), (int)tid(i));
	unwatch();
	go_on(in);
	tap_eq(ended(outer), 0, "it is well");
	close(in);
	close(out);
}

int main(int argc, char **argv)
{
	birth_begin(argc, argv);
	if (geteuid())
		tap_skip_all("only root makes a pid namespace");
	test(false, false);
	test(false, true);
	test(true, false);
	test(true, true);
	return tap_done();
}
