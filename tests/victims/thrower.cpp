/* SPDX-License-Identifier: MIT */
/*
 * thrower: C++ exceptions through three functions, every second call. Destructors on the way must run. At the end:
 * "calls t_outer N", "caught N".
 */
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <stdexcept>

#include "victim.h"

extern "C" __attribute__((visibility("default"), noinline)) uint64_t t_inner(uint64_t x)
{
	if (x & 1)
		throw std::runtime_error("odd");
	return x + 1;
}

static uint64_t alive;

struct witness {
	witness() { alive++; }
	~witness() { alive--; }
};

extern "C" __attribute__((visibility("default"), noinline)) uint64_t t_middle(uint64_t x)
{
	witness w;

	return t_inner(x) + 1;
}

extern "C" __attribute__((visibility("default"), noinline)) uint64_t t_outer(uint64_t x)
{
	witness w;

	return t_middle(x) + 1;
}

int main()
{
	uint64_t calls = 0, caught = 0;

	victim_begin();
	victim_ready();
	while (!victim_wait(0)) {
		for (uint64_t i = 0; i < 1000; i++, calls++) {
			try {
				uint64_t r = t_outer(i);

				if ((i & 1) || r != i + 3)
					victim_wrong("t_outer(%lu) = %lu", i, r);
			} catch (const std::runtime_error &) {
				if (!(i & 1))
					victim_wrong("t_outer(%lu) threw", i);
				caught++;
			}
			if (alive)
				victim_wrong("%lu destructors did not run", alive);
		}
	}
	std::printf("calls t_outer %lu\ncaught %lu\n", calls, caught);
	return 0;
}
