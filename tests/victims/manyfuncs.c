/* SPDX-License-Identifier: MIT */
/*
 * manyfuncs [THREADS]: every thread calls all 50,000 functions of many.S, one after the other, again and again. Each
 * function is called equally often; the number is printed at the end ("passes N").
 */
#include "victim.h"

#define MANY 50000

extern uint64_t (*const manyfuncs[MANY])(uint64_t x);

static uint64_t passes;

static void *walk(void *arg)
{
	while (!victim_stop()) {
		for (uint64_t i = 0; i < MANY; i++) {
			uint64_t r = manyfuncs[i](i * 3);

			if (r != i * 4)
				victim_wrong("f%05lu(%lu) = %lu", i, i * 3, r);
		}
		__atomic_fetch_add(&passes, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t thread[64];

	if (n < 1 || n > 64)
		return 2;
	victim_begin();
	for (int i = 0; i < n; i++)
		if (pthread_create(&thread[i], NULL, walk, NULL))
			return 2;
	victim_ready();
	victim_wait(-1);
	for (int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	printf("passes %lu\n", passes);
	return 0;
}
