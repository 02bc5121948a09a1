/* SPDX-License-Identifier: MIT */
#include "payload/thread.h"

#include "base/atomic.h"
#include "payload/ids.h"
#include "payload/kernel.h"

u32 thread_tid_from_kernel(void)
{
	s64 tid = kernel_call2(__NR_gettid, 0, 0);

	return tid > 0 ? (u32)tid : 0;
}

/*
 * nt_local is wiped in a forked child, so what it remembers cannot be the parent's. A child of
 * vfork or of a bare clone(CLONE_VM) shares it with the parent, though, and must not leave its own
 * id there. Such a child has a thread id of its own while the thread block that it runs on still
 * holds the parent's; so the id is kept only where the two agree, and where there is no thread
 * block to ask it is asked for every time.
 */
u32 thread_tgid_from_kernel(void)
{
	s64 tgid = kernel_call2(__NR_getpid, 0, 0);

	if (tgid <= 0)
		return 0;
	if (nt_state.tid_off && thread_tid_from_kernel() == cpu_thread_u32(nt_state.tid_off))
		at_store(&nt_local.tgid, (u32)tgid);
	return (u32)tgid;
}

struct nt_caller thread_caller_there(const struct nt_map_view *v)
{
	return (struct nt_caller){
	    .tid = ids_owner(),
	    .cpu = thread_cpu_of(v),
	    .flags = NT_CALLER_FOREIGN | (nt_state.flags & NT_STATE_NO_SYSCALL ? NT_CALLER_NO_SYSCALL : 0),
	};
}
