/* SPDX-License-Identifier: MIT */
/*
 * bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_get_current_comm, bpf_get_current_task,
 * bpf_get_smp_processor_id. Ids are those of the process' own namespaces. Where an id cannot be had
 * the answer is -EINVAL, the kernel's when there is no task.
 */
#include <linux/prctl.h>

#include "base/bits.h"
#include "base/mem.h"
#include "payload/comm.h"
#include "payload/kernel.h"
#include "payload/thread.h"

u64 helper_pid_tgid(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	u64 tgid = thread_tgid(), tid = thread_tid();

	return tgid && tid ? tgid << 32 | tid : (u64)-EINVAL;
}

/* Asked for every time: they change under us by setuid(2). */
u64 helper_uid_gid(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	s64 uid = kernel_call2(__NR_getuid, 0, 0);
	s64 gid = kernel_call2(__NR_getgid, 0, 0);

	return uid >= 0 && gid >= 0 ? (u64)gid << 32 | (u64)uid : (u64)-EINVAL;
}

int comm_get(char ret[NT_COMM_LEN])
{
	mem_zero(ret, NT_COMM_LEN);
	return (int)kernel_call2(__NR_prctl, PR_GET_NAME, (u64)ret);
}

u64 helper_comm(u64 buf, u64 size, u64 r3, u64 r4, u64 r5)
{
	u32 n = (u32)size;
	char comm[NT_COMM_LEN];
	int r = comm_get(comm);

	if (!n)
		return (u64)-EINVAL;
	mem_zero((void *)buf, n);
	if (r)
		return (u64)-EINVAL;
	mem_copy((void *)buf, comm, bits_min(n - 1, NT_COMM_LEN - 1));
	return 0;
}

/* There is no task_struct to point to; programs compare this value and use it as a key. */
u64 helper_current_task(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return thread_pointer();
}

u64 helper_smp_processor_id(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return thread_cpu();
}
