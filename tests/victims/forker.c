/* SPDX-License-Identifier: MIT */
/*
 * forker [ROUNDS]: forks children that call the functions of funcs.S ROUNDS times and exit; a second thread of the
 * parent calls them meanwhile. At the end: "children N", and the exact sums of parent and children, "calls NAME N".
 */
#include "calls.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void *busy(void *arg)
{
	while (!victim_stop())
		victim_round(99, arg);
	return NULL;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	uint64_t children = 0, (*count)[64];
	pthread_t thread;

	victim_begin();
	count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (count == MAP_FAILED || pthread_create(&thread, NULL, busy, count[1]))
		return 2;
	victim_ready();
	while (!victim_wait(1)) {
		pid_t p = fork();
		int status;

		if (p < 0)
			return 2;
		if (!p) {
			for (int i = 0; i < rounds; i++)
				victim_round((uint64_t)i, count[0]);
			_exit(0);
		}
		if (waitpid(p, &status, 0) != p)
			victim_wrong("waitpid: errno %d", errno);
		if (status)
			victim_wrong("child %d: status %#x", p, status);
		children++;
	}
	pthread_join(thread, NULL);
	printf("children %lu\n", children);
	for (int f = 0; f < VICTIM_NFUNCS; f++)
		printf("calls %s %lu\n", victim_funcs[f].name, count[0][f] + count[1][f]);
	return 0;
}
