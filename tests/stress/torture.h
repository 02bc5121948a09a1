/* SPDX-License-Identifier: MIT */
/*
 * What the torture tests share. Arguments: [seed [milliseconds]]; the seed is printed, so that a
 * failed run can be repeated (as far as the scheduler repeats itself). NT_STRESS_MS sets the length
 * of the long tier.
 */
#pragma once

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/types.h"

struct torture {
	u64 seed;
	u64 ms;
};

__attribute__((unused)) static u64 torture_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

__attribute__((unused)) static struct torture torture_start(int argc, char **argv, u64 ms)
{
	struct torture t = {.ms = ms};
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	t.seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (u64)ts.tv_nsec ^ ((u64)getpid() << 32);
	if (getenv("NT_STRESS_MS"))
		t.ms = strtoull(getenv("NT_STRESS_MS"), NULL, 0);
	if (argc > 2)
		t.ms = strtoull(argv[2], NULL, 0);
	printf("# seed %llu, %llu ms\n", (unsigned long long)t.seed, (unsigned long long)t.ms);
	fflush(stdout);
	return t;
}

/* Zeroed memory that forked children share. */
__attribute__((unused)) static void *torture_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(2);
	return p;
}

/* Forks; the child runs body and exits with its result. */
__attribute__((unused)) static pid_t torture_fork(int (*body)(void *arg), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		exit(2);
	if (!pid)
		_exit(body(arg));
	return pid;
}

/* True if the child ended with exit status 0. */
__attribute__((unused)) static bool torture_wait(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
