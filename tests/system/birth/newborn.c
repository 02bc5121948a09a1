/* SPDX-License-Identifier: MIT */
/*
 * newborn ACTION...: a process whose first calls count. Its constructor calls main_ctor twice, that of its library
 * lib_ctor three times; then it does what it is told, in order:
 *
 *     main:N  lib:N        calls main_fn, lib_fn N times
 *     plugin:FILE:N        dlopen (its constructor calls plug_ctor four times), plug_fn N times, dlclose
 *     thread:N fork:N vfork:N  main_fn N times in a new thread, a forked child, a child of vfork
 *     exec                 becomes newborn again, with the actions that follow (execthread: from a thread that is not
 *                          the first; as:FILE: FILE instead of itself)
 *     again:N              maps this program a second time and calls main_fn N times there
 *     user:N               ends if the effective user is not N
 *     spawn:N              waits for a child that is newborn main:N, made with posix_spawn
 *     vforkexec:N          the same by vfork: it waits half a second before its exec
 *     wait                 says "ready", reads a line
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "newborn.h"

COUNTED(main_ctor)
COUNTED(main_fn)
#ifndef ALONE
unsigned long lib_fn(unsigned long x);
#else
#define lib_fn main_fn
#endif

extern char **environ;

__attribute__((constructor)) static void begin(void)
{
	call_times(main_ctor, 2);
}

static void exit_unless(int ok, int status)
{
	if (!ok)
		exit(status);
}

/* For a notrap that looks at what it cannot be told of. */
static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
}

static void plugin(const char *arg)
{
	unsigned long (*fn)(unsigned long);
	char file[4096];
	unsigned long n;
	void *lib;

	if (sscanf(arg, "%4095[^:]:%lu", file, &n) != 2 || !(lib = dlopen(file, RTLD_NOW)))
		exit(4);
	*(void **)&fn = dlsym(lib, "plug_fn");
	call_times(fn, n);
	dlclose(lib);
}

static void *in_thread(void *arg)
{
	call_times(main_fn, *(unsigned long *)arg);
	return NULL;
}

static void thread(unsigned long n)
{
	pthread_t t;

	if (pthread_create(&t, NULL, in_thread, &n))
		exit(5);
	pthread_join(t, NULL);
}

static void child(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		exit(6);
}

static void forked(unsigned long n, int by_vfork)
{
	pid_t pid = by_vfork ? vfork() : fork();

	if (!pid) {
		call_times(main_fn, n);
		_exit(0);
	}
	child(pid);
}

static void spawned(char *n)
{
	char action[32];
	char *argv[] = {"newborn", action, NULL};
	pid_t pid;

	snprintf(action, sizeof(action), "main:%s", n);
	child(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) ? -1 : pid);
}

/* What a shell does, but slowly: who looks at processes meanwhile finds one that has its parent's memory. */
static void vfork_and_exec(char *n)
{
	char action[32];
	char *argv[] = {"newborn", action, NULL};
	pid_t pid;

	snprintf(action, sizeof(action), "main:%s", n);
	pid = vfork();
	if (!pid) {
		nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
		execv("/proc/self/exe", argv);
		_exit(7);
	}
	child(pid);
}

static void *exec_main(void *argv)
{
	execv("/proc/self/exe", argv);
	exit(7);
}

static void exec_in_thread(char **argv)
{
	pthread_t t;

	pthread_create(&t, NULL, exec_main, argv);
	pause();
}

/* main_fn needs nothing but its own bytes. */
static void again(unsigned long n)
{
	unsigned long (*fn)(unsigned long);
	char line[512] = "", path[256] = "";
	unsigned long lo = 0, hi = 0, off = 0, at = (unsigned long)main_fn;
	FILE *maps = fopen("/proc/self/maps", "r");
	int fd = open("/proc/self/exe", O_RDONLY);
	char *copy;

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx r-xp %lx %*s %*s %255s", &lo, &hi, &off, path) == 4 && at >= lo && at < hi)
			break;
	copy = mmap(NULL, hi - lo, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)off);
	if (copy == MAP_FAILED)
		exit(11);
	*(void **)&fn = copy + (at - lo);
	nap();
	call_times(fn, n);
}

static void await(void)
{
	char line[64];

	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	if (read(0, line, sizeof(line)) <= 0) /* no stdio: the line must not be read ahead across exec */
		exit(8);
}

static void act(char **argv)
{
	char *a = *argv, *n = strchr(a, ':');
	unsigned long times = n ? strtoul(n + 1, NULL, 0) : 0;

	if (!strncmp(a, "main:", 5))
		call_times(main_fn, times);
	else if (!strncmp(a, "lib:", 4))
		call_times(lib_fn, times);
	else if (!strncmp(a, "plugin:", 7))
		plugin(n + 1);
	else if (!strncmp(a, "thread:", 7))
		thread(times);
	else if (!strncmp(a, "fork:", 5))
		forked(times, 0);
	else if (!strncmp(a, "vfork:", 6))
		forked(times, 1);
	else if (!strncmp(a, "spawn:", 6))
		spawned(n + 1);
	else if (!strncmp(a, "vforkexec:", 10))
		vfork_and_exec(n + 1);
	else if (!strncmp(a, "again:", 6))
		again(times);
	else if (!strncmp(a, "user:", 5))
		exit_unless(geteuid() == times, 10);
	else if (!strcmp(a, "wait"))
		await();
	else if (!strcmp(a, "exec"))
		exec_main(argv);
	else if (!strcmp(a, "execthread"))
		exec_in_thread(argv);
	else if (!strncmp(a, "as:", 3))
		execv(n + 1, argv), exit(7);
	else
		exit(9);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		act(argv + i);
	return 0;
}
