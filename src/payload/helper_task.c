/* SPDX-License-Identifier: MIT */
/*
 * bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_get_current_comm, bpf_get_current_task,
 * bpf_get_smp_processor_id, bpf_get_numa_node_id, bpf_get_ns_current_pid_tgid,
 * bpf_get_current_cgroup_id, bpf_get_current_ancestor_cgroup_id, bpf_get_cgroup_classid,
 * bpf_current_task_under_cgroup. Process and thread ids are those of the broker's namespace (ids.h), users' those of the
 * process' own. Where an id cannot be had the answer is -EINVAL, the kernel's when there is no task.
 */
#include <linux/prctl.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "maps/maps.h"
#include "payload/comm.h"
#include "payload/ids.h"
#include "payload/kernel.h"
#include "payload/thread.h"

u64 helper_pid_tgid(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	u64 ids = ids_current();

	return ids ? ids : (u64)-EINVAL;
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

u64 helper_numa_node_id(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return cpu_node(nt_state.flags & NT_STATE_RDPID);
}

struct pidns_info { /* struct bpf_pidns_info */
	u32 pid, tgid;
};

u64 helper_ns_pid_tgid(u64 dev, u64 ino, u64 info, u64 size, u64 r5)
{
	struct pidns_info ids = {thread_tid(), thread_tgid()};

	if ((u32)size == sizeof(ids) && ino && dev == nt_state.pidns_dev &&
	    ino == nt_state.pidns_ino && ids.pid && ids.tgid) {
		mem_copy((void *)info, &ids, sizeof(ids));
		return 0;
	}
	mem_zero((void *)info, (u32)size);
	return (u64)-EINVAL;
}

u64 helper_cgroup_id(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	u32 n = at_load(&nt_state.cgroup_n);

	return n && n <= NT_CGROUPS ? at_load(&nt_state.cgroup[n - 1]) : 0;
}

u64 helper_ancestor_cgroup_id(u64 level, u64 r2, u64 r3, u64 r4, u64 r5)
{
	u32 n = at_load(&nt_state.cgroup_n);

	return (u32)level < bits_min(n, NT_CGROUPS) ? at_load(&nt_state.cgroup[(u32)level]) : 0;
}

/* bpf_get_cgroup_classid: net_cls is version 1 only, and 0 is its answer for whoever is not in it. */
u64 helper_zero(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return 0;
}

/* An element of the array is a cgroup's id. */
u64 helper_under_cgroup(u64 map, u64 index, u64 r3, u64 r4, u64 r5)
{
	const u64 *slot = map_slot((void *)map, (u32)index);
	u32 n = at_load(&nt_state.cgroup_n);
	u64 id;

	if (!slot)
		return (u64)-E2BIG;
	id = at_load_acq(slot);
	if (!id)
		return (u64)-EAGAIN;
	for (u32 i = 0; i < bits_min(n, NT_CGROUPS); i++)
		if (at_load(&nt_state.cgroup[i]) == id)
			return 1;
	return 0;
}
