/* SPDX-License-Identifier: MIT */
#include "broker/object/kernel.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "util/fd.h"

int kernel_bpf(u32 cmd, void *attr, u32 size)
{
	long r;

	do {
		r = syscall(SYS_bpf, cmd, attr, size);
	} while (r < 0 && errno == EAGAIN && cmd == BPF_PROG_LOAD); /* a signal came while it verified */
	return r < 0 ? -errno : (int)r;
}

int kernel_may(void)
{
	const struct bpf_insn insns[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr a = {
	    .prog_type = BPF_PROG_TYPE_TRACEPOINT,
	    .insn_cnt = bits_count(insns),
	    .insns = (u64)insns,
	    .license = (u64) "GPL",
	};
	int fd fd_auto = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));

	return fd < 0 ? fd : 0;
}

bool kernel_prog_is_dual(u32 type, u32 expected_attach)
{
	switch (type) {
	case BPF_PROG_TYPE_KPROBE:
		return expected_attach != KERNEL_TRACE_KPROBE_MULTI && expected_attach != KERNEL_TRACE_KPROBE_SESSION;
	case BPF_PROG_TYPE_PERF_EVENT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT: return true;
	}
	return false;
}

u32 kernel_prog_id(int fd)
{
	struct bpf_prog_info info = {};
	union bpf_attr a = {};

	a.info.bpf_fd = (u32)fd;
	a.info.info_len = sizeof(info);
	a.info.info = (u64)&info;
	return kernel_bpf(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)) < 0 ? 0 : info.id;
}
