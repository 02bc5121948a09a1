/* SPDX-License-Identifier: MIT */
/*
 * spin [THREADS [FILE]]: threads that call the functions of funcs.S in a tight loop. Each counts its calls in memory of
 * its own; the exact sums are printed at the end ("calls NAME N"). With FILE the counts lie in it, as u64 [thread][function],
 * so that others can watch.
 */
#include "calls.h"

#include <fcntl.h>
#include <sys/mman.h>

#define ROW 64 /* u64 per thread: no two threads share a cache line */
_Static_assert(VICTIM_NFUNCS <= ROW, "a row holds all functions");

static uint64_t *counts;

static void *spin(void *arg)
{
	uint64_t *row = counts + (uintptr_t)arg * ROW;

	for (uint64_t x = (uintptr_t)arg; !victim_stop(); x += 7)
		victim_round(x, row);
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1, fd = -1;
	size_t size = (size_t)n * ROW * sizeof(*counts);
	pthread_t thread[1024];

	if (n < 1 || n > 1024)
		return 2;
	victim_begin();
	if (argc > 2) {
		fd = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, (off_t)size))
			return 2;
	}
	counts = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	if (counts == MAP_FAILED)
		return 2;
	for (int i = 0; i < n; i++)
		if (pthread_create(&thread[i], NULL, spin, (void *)(uintptr_t)i))
			return 2;
	victim_ready();
	victim_wait(-1);
	for (int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	for (int f = 0; f < VICTIM_NFUNCS; f++) {
		uint64_t sum = 0;

		for (int i = 0; i < n; i++)
			sum += counts[i * ROW + f];
		printf("calls %s %lu\n", victim_funcs[f].name, sum);
	}
	return 0;
}
