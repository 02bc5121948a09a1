/* SPDX-License-Identifier: MIT */
/*
 * bpf_probe_read{,_user,_kernel} and their _str forms, bpf_copy_from_user{,_task}, and bpf_probe_write_user. What a program calls kernel memory (ctx, its
 * stack, map values) is memory of this process too, so one routine serves all; addresses of the
 * real kernel are unreadable.
 */
#include <asm/errno.h>

#include "base/mem.h"
#include "payload/kernel.h"
#include "payload/safe_read.h"
#include "payload/thread.h"

u64 helper_probe_read(u64 dst, u64 size, u64 src, u64 r4, u64 r5)
{
	if (safe_read((void *)dst, src, (u32)size)) {
		mem_zero((void *)dst, (u32)size);
		return (u64)-EFAULT;
	}
	return 0;
}

/* The only task that a program can name is its own. */
u64 helper_copy_from_user_task(u64 dst, u64 size, u64 src, u64 task, u64 flags)
{
	return flags ? (u64)-EINVAL : helper_probe_read(dst, size, src, 0, 0);
}

u64 helper_probe_read_str(u64 dst, u64 size, u64 src, u64 r4, u64 r5)
{
	s64 len = safe_read_str((void *)dst, src, (u32)size);

	if (len < 0)
		mem_zero((void *)dst, (u32)size);
	return (u64)len;
}

/* What the process itself may write, and no more; in pages that are not there yet, too. */
u64 helper_probe_write_user(u64 dst, u64 src, u64 size, u64 r4, u64 r5)
{
	struct safe_range local = {src, (u32)size}, range = {dst, (u32)size};
	u32 tgid = thread_tgid();
	s64 r;

	if (!tgid)
		return (u64)-EPERM;
	r = kernel_call6(__NR_process_vm_writev, tgid, (u64)&local, 1, (u64)&range, 1, 0);
	if (r == -ESRCH) /* we share memory with a process that has gone since */
		r = kernel_call6(__NR_process_vm_writev, thread_tgid_from_kernel(), (u64)&local, 1, (u64)&range, 1, 0);
	return r == (u32)size ? 0 : (u64)-EFAULT;
}
