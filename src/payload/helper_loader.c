/* SPDX-License-Identifier: MIT */
/*
 * bpf_sys_bpf and bpf_sys_close, for system call programs (light skeletons): these run in a loader, whose front end makes
 * the call as if the loader had. Follow kernel/bpf/syscall.c in which commands there are.
 */
#include <asm/errno.h>
#include <linux/bpf.h>

#include "base/atomic.h"
#include "payload/payload.h"

static u64 call_loader(u64 helper, u64 r1, u64 r2, u64 r3)
{
	s64 (*call)(u64 helper, u64 r1, u64 r2, u64 r3) = (void *)at_load(&nt_state.loader_call);

	return call ? (u64)call(helper, r1, r2, r3) : (u64)-EPERM;
}

u64 helper_sys_bpf(u64 cmd, u64 attr, u64 size, u64 r4, u64 r5)
{
	switch ((u32)cmd) {
	case BPF_MAP_CREATE:
	case BPF_MAP_DELETE_ELEM:
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_FREEZE:
	case BPF_MAP_GET_FD_BY_ID:
	case BPF_PROG_LOAD:
	case BPF_BTF_LOAD:
	case BPF_LINK_CREATE:
	case BPF_RAW_TRACEPOINT_OPEN: return call_loader(BPF_FUNC_sys_bpf, (u32)cmd, attr, (u32)size);
	}
	return (u64)-EINVAL;
}

u64 helper_sys_close(u64 fd, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return (u64)(s64)(s32)call_loader(BPF_FUNC_sys_close, (u32)fd, 0, 0);
}
