/* SPDX-License-Identifier: MIT */
/* What victim.c loads when it is told to. */
#include <stdlib.h>

#define KEEP __attribute__((noinline, noclone, used))

/* Not static: tools look for them by name. */
int plugin_leaf(int a);
void *plugin_grab(size_t n);
void plugin_rounds(int n);

KEEP int plugin_leaf(int a)
{
	__asm__ volatile("" : "+r"(a));
	return a + 1;
}

KEEP void *plugin_grab(size_t n)
{
	void *p = malloc(n);

	__asm__ volatile("" : "+r"(p));
	return p;
}

KEEP void plugin_rounds(int n)
{
	for (int i = 0; i < n; i++) {
		int r = plugin_leaf(i);

		__asm__ volatile("" ::"r"(r));
		plugin_grab(300);
	}
}
