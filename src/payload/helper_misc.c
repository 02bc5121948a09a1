/* SPDX-License-Identifier: MIT */
/* bpf_get_prandom_u32, bpf_get_func_ip, bpf_get_attach_cookie, bpf_strncmp. */
#include "payload/row.h"

u64 helper_prandom_u32(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return (u32)(row_random(row_find_or_add()) >> 32);
}

u64 helper_func_ip(u64 ctx, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return *(u64 *)(ctx + NT_CTX_FUNC_IP);
}

u64 helper_attach_cookie(u64 ctx, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return *(u64 *)(ctx + NT_CTX_COOKIE);
}

/* As strncmp(s1, s2, size), with the kernel's -1, 0, 1. */
u64 helper_strncmp(u64 s1, u64 size, u64 s2, u64 r4, u64 r5)
{
	const u8 *a = (void *)s1, *b = (void *)s2;

	for (u32 i = 0; i < (u32)size; i++) {
		if (a[i] != b[i])
			return a[i] < b[i] ? (u64)-1 : 1;
		if (!a[i])
			break;
	}
	return 0;
}
