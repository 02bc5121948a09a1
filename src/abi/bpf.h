/* SPDX-License-Identifier: MIT */
/*
 * Kernel UAPI numbers newer than the oldest <linux/bpf.h> we build with (6.1). Own names, so that a newer system
 * header does not clash. Source: include/uapi/linux/bpf.h of Linux 6.18.
 */
#pragma once

#include "abi/types.h"

#define NT_BPF_TRACE_UPROBE_MULTI 48
#define NT_BPF_TRACE_UPROBE_SESSION 57
#define NT_BPF_LINK_TYPE_PERF_EVENT 7
#define NT_BPF_MAP_TYPE_USER_RINGBUF 31
#define NT_BPF_MAP_TYPE_ARENA 33
#define NT_BPF_F_SEGV_ON_FAULT (1u << 17)
#define NT_BPF_F_NO_USER_CONV (1u << 18)
#define NT_BPF_FUNC_USER_RINGBUF_DRAIN 209
#define NT_BPF_LINK_TYPE_UPROBE_MULTI 12
#define NT_BPF_F_UPROBE_MULTI_RETURN 1u
#define NT_MAX_UPROBE_MULTI_CNT (1u << 20)
#define NT_BPF_PERF_EVENT_UPROBE 1
#define NT_BPF_PERF_EVENT_URETPROBE 2
#define NT_BPF_PERF_EVENT_EVENT 6

/* struct pt_regs of x86-64 as BPF programs see it (arch/x86/include/uapi/asm/ptrace.h): index of each u64. */
enum nt_pt_reg {
	NT_R15, NT_R14, NT_R13, NT_R12, NT_RBP, NT_RBX, NT_R11, NT_R10, NT_R9, NT_R8, NT_RAX, NT_RCX, NT_RDX,
	NT_RSI, NT_RDI, NT_ORIG_RAX, NT_RIP, NT_CS, NT_EFLAGS, NT_RSP, NT_SS, NT_PT_NREGS
};

/* BPF_LINK_CREATE for uprobe_multi: the attr from offset 0 (reference: kernel/trace/bpf_trace.c). */
struct nt_link_create_uprobe_multi {
	u32 prog_fd, target_fd, attach_type, flags;
	u64 path, offsets, ref_ctr_offsets, cookies;
	u32 cnt, multi_flags, pid, path_fd;
};
_Static_assert(sizeof(struct nt_link_create_uprobe_multi) == 64, "as libbpf passes it");
