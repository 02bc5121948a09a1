/* SPDX-License-Identifier: MIT */
/* Who is running: thread pointer, ids, CPU. */
#pragma once

#include "payload/cpu.h"
#include "payload/payload.h"

#pragma GCC visibility push(hidden)
u32 thread_tid_from_kernel(void);
u32 thread_tgid_from_kernel(void);
struct nt_caller thread_caller_there(const struct nt_map_view *v); /* below */
#pragma GCC visibility pop

static inline u64 thread_pointer(void)
{
	return nt_state.flags & NT_STATE_FS0 ? cpu_thread_self() : cpu_thread_base();
}

/* Kernel thread id, 0 = cannot be known here. In a vfork child this is its parent's: libc keeps no
 * other. */
static inline u32 thread_tid(void)
{
	return nt_state.tid_off ? cpu_thread_u32(nt_state.tid_off) : thread_tid_from_kernel();
}

/* Thread group id, 0 = cannot be known here. */
static inline u32 thread_tgid(void)
{
	u32 tgid = nt_local.tgid;

	return tgid ? tgid : thread_tgid_from_kernel();
}

static inline u32 thread_cpu(void)
{
	return cpu_number(nt_state.flags & NT_STATE_RDPID);
}

/* The CPU as an index into the map's per-CPU values. */
static inline u32 thread_cpu_of(const struct nt_map_view *v)
{
	u32 cpu = v->ncpus > 1 ? thread_cpu() : 0;

	return cpu < v->ncpus ? cpu : v->ncpus - 1;
}

/* For calls that may take a lock or own a record: tid must then be checked, 0 would mean "free". */
static inline struct nt_caller thread_caller(const struct nt_map_view *v)
{
	if (nt_state.flags & NT_STATE_PIDNS)
		return thread_caller_there(v);
	return (struct nt_caller){
	    .tid = thread_tid(),
	    .cpu = thread_cpu_of(v),
	    .flags = nt_state.flags & NT_STATE_NO_SYSCALL ? NT_CALLER_NO_SYSCALL : 0,
	};
}
