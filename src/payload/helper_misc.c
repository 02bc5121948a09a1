/* SPDX-License-Identifier: MIT */
/* bpf_get_prandom_u32, bpf_get_func_ip, bpf_get_attach_cookie, bpf_get_branch_snapshot, bpf_override_return. */
#include <asm/errno.h>

#include "payload/cpu.h"
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

/* What a kernel says whose processor keeps no branch records. */
u64 helper_branch_snapshot(u64 entries, u64 size, u64 flags, u64 r4, u64 r5)
{
	return flags ? (u64)-EINVAL : (u64)-ENOENT;
}

/* The dispatcher sees it and makes the function return regs->ax. */
u64 helper_override_return(u64 regs, u64 value, u64 r3, u64 r4, u64 r5)
{
	*(u16 *)(void *)(regs + (u64)NT_CTX_OVERRIDDEN) = 1;
	cpu_set_result((u64 *)(void *)regs, value);
	return 0;
}
