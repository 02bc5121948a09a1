/* SPDX-License-Identifier: MIT */
/* libvictim.so: what dlopener loads. */
#include "libvictim.h"

__attribute__((visibility("default"), noinline)) uint64_t l_add(uint64_t a, uint64_t b)
{
	return a + b;
}

__attribute__((visibility("default"), noinline)) uint64_t l_fact(uint64_t n)
{
	return n < 2 ? 1 : n * l_fact(n - 1);
}

__attribute__((visibility("default"), noinline)) uint64_t l_apply(uint64_t (*fn)(uint64_t), uint64_t x)
{
	return fn(x) + 1;
}
