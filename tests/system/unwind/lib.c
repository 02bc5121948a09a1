/* SPDX-License-Identifier: MIT */
/* A library whose function is left in other ways than by returning. */
void p_lib_call(void (*fn)(void *), void *arg);

__attribute__((visibility("default"))) void p_lib_call(void (*fn)(void *), void *arg)
{
	fn(arg);
	__asm__ volatile("" ::: "memory");
}
