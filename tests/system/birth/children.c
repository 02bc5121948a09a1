/* SPDX-License-Identifier: MIT */
/*
 * Processes that the loader starts itself, as `bpftrace -c COMMAND` does: attached before they run their program, and
 * no call is lost, from the first constructor on - however the loader holds them back.
 */
#include "birth.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define ALL "main_ctor 2 main_fn 50 lib_ctor 3 lib_fn 70"
static char *const command[] = {"newborn", "main:50", "lib:70", NULL};

/* A child that waits for a byte and then becomes newborn. */
static pid_t held_by_pipe(int *ret_go)
{
	int go[2];
	pid_t pid;
	char c;

	if (pipe2(go, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		close(go[1]);
		if (read(go[0], &c, 1) == 1)
			execv(newborn, command);
		_exit(127);
	}
	close(go[0]);
	*ret_go = go[1];
	return pid;
}

static void test_pipe(const char *what, pid_t filter)
{
	int go = -1;
	pid_t pid = held_by_pipe(&go);

	tap_ok(watch_all_files(filter ? pid : -1), "%s: links are made", what);
	go_on(go);
	tap_eq(ended(pid), 0, "%s: the child is well", what);
	counts_are(ALL, what);
	unwatch();
	close(go);
}

static void on_usr1(int sig)
{
}

/* perf and funccount do it with a signal. */
static void test_signal(void)
{
	sigset_t set, old;
	pid_t pid;

	signal(SIGUSR1, on_usr1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	pid = fork();
	if (!pid) {
		sigsuspend(&old);
		sigprocmask(SIG_SETMASK, &old, NULL);
		execv(newborn, command);
		_exit(127);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	tap_ok(watch_all_files(pid), "held back by sigsuspend: links are made");
	kill(pid, SIGUSR1);
	tap_eq(ended(pid), 0, "the child is well");
	counts_are(ALL, "held back by sigsuspend");
	unwatch();
}

/* Traced by the loader: stopped before it runs its program, or at exec; let go, or traced on to its end. */
static void test_traced(const char *what, bool at_exec, bool detach)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execv(newborn, command);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	if (at_exec) {
		ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACEEXEC);
		ptrace(PTRACE_CONT, pid, NULL, NULL);
		waitpid(pid, &status, 0);
		tap_ok(status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8), "%s: at its exec", what);
	}
	tap_ok(watch_all_files(pid), "%s: links are made", what);
	ptrace(detach ? PTRACE_DETACH : PTRACE_CONT, pid, NULL, NULL);
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) /* without TRACEEXEC an exec is a SIGTRAP */
		ptrace(PTRACE_CONT, pid, NULL, (void *)(long)(WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status)));
	tap_ok(WIFEXITED(status) && !WEXITSTATUS(status), "%s: the child is well", what);
	counts_are(ALL, what);
	unwatch();
}

static void test_spawned(void)
{
	char *const shell[] = {"sh", "-c", "\"$0\" main:1 && \"$0\" main:2 exec lib:4 && \"$0\" fork:3 spawn:5",
			       (char *)newborn, NULL};
	pid_t pid;

	tap_ok(watch_all_files(-1), "links for all processes");
	tap_ok(!posix_spawn(&pid, newborn, NULL, NULL, command, environ) && !ended(pid), "posix_spawn");
	counts_are(ALL, "spawned");
	tap_ok(!posix_spawn(&pid, "/bin/sh", NULL, NULL, shell, environ) && !ended(pid), "a shell that runs several");
	counts_are("main_ctor 10 main_fn 11 lib_ctor 15 lib_fn 4", "every one of them");
	unwatch();
}

static void test_plugin(void)
{
	char action[4200];
	char *argv[] = {"newborn", action, NULL};
	pid_t pid;
	int go[2], i;

	snprintf(action, sizeof(action), "plugin:%s:6", plug);
	for (i = 0; i < 2; i++) {
		if (pipe2(go, O_CLOEXEC))
			return;
		pid = fork();
		if (!pid) {
			char c;

			execv(read(go[0], &c, 1) == 1 ? newborn : "", argv);
			_exit(127);
		}
		tap_ok(watch_file(plug, "plug", i ? -1 : pid), "links on a library that nobody has");
		go_on(go[1]);
		tap_eq(ended(pid), 0, "the child loads it with dlopen");
		counts_are("plug_ctor 4 plug_fn 6", i ? "all processes" : "this process");
		unwatch();
		close(go[0]);
		close(go[1]);
	}
}

int main(int argc, char **argv)
{
	birth_begin(argc, argv);
	test_pipe("held back by a pipe", 1);
	test_pipe("the same, links for all processes", 0);
	test_signal();
	test_traced("traced, stopped before exec", false, false);
	test_traced("traced, stopped before exec, let go", false, true);
	test_traced("traced, stopped at exec", true, false);
	test_traced("traced, stopped at exec, let go", true, true);
	test_spawned();
	test_plugin();
	return tap_done();
}
