/* SPDX-License-Identifier: MIT */
#include "broker/cmd/kernel_only.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "broker/cmd/kernel.h"
#include "broker/cmd/vlog.h"
#include "broker/object/prog.h"
#include "util/fd.h"

#define ADVICE "only the kernel can run a program there. As root and with `notrap run --kernel` it does; notrap itself has " \
	       "uprobes, USDT and clocks"

const char *kernel_only_name(u32 type)
{
	switch (type) {
	case BPF_PROG_TYPE_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE: return "a tracepoint of the kernel";
	case BPF_PROG_TYPE_TRACING: return "a function of the kernel or another program (fentry, fexit, iterators)";
	case BPF_PROG_TYPE_LSM: return "a security hook of the kernel";
	case BPF_PROG_TYPE_STRUCT_OPS: return "a table of functions in the kernel";
	case BPF_PROG_TYPE_EXT: return "another program (freplace)";
	case BPF_PROG_TYPE_XDP: return "a network device (XDP)";
	case BPF_PROG_TYPE_SCHED_CLS:
	case BPF_PROG_TYPE_SCHED_ACT: return "a network device (tc)";
	case BPF_PROG_TYPE_CGROUP_SKB:
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_CGROUP_DEVICE:
	case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
	case BPF_PROG_TYPE_CGROUP_SYSCTL:
	case BPF_PROG_TYPE_CGROUP_SOCKOPT: return "a control group";
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_SOCKET_FILTER: return "a control group, a socket or a network device"; /* by BPF_PROG_ATTACH */
	}
	return "the kernel";
}

bool kernel_only_is_event(struct client *c, int fd)
{
	static const char perf[] = "anon_inode:[perf_event]";
	char path[64], what[sizeof(perf) + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", c->pid, fd);
	n = readlink(path, what, sizeof(what));
	return n == sizeof(perf) - 1 && !memcmp(what, perf, sizeof(perf) - 1);
}

int kernel_only_event(struct call *k)
{
	snprintf(k->notice, sizeof(k->notice),
		 "this is an event of the kernel's own (a kprobe, a tracepoint, a counter): " ADVICE);
	return -EOPNOTSUPP;
}

int kernel_only_prog(struct call *k, u32 type)
{
	snprintf(k->notice, sizeof(k->notice), "a program cannot be attached to %s: " ADVICE, kernel_only_name(type));
	return -EOPNOTSUPP;
}

void kernel_only_log(struct verifier_log *log, u32 type)
{
	vlog_printf(log, "notrap: this program is for %s: " ADVICE "\n", kernel_only_name(type));
}

static s64 attach_refused(struct call *k, u32 prog_fd)
{
	struct object *o;
	int r = object_by_fd(k->c, (int)prog_fd, OBJECT_PROG, &o);

	return r < 0 ? r : kernel_only_prog(k, object_to_prog(o)->type);
}

s64 cmd_raw_tracepoint_open(struct call *k)
{
	struct object *o;
	int r = object_by_fd(k->c, (int)k->attr.raw_tracepoint.prog_fd, OBJECT_PROG, &o);

	return r < 0 ? r : kernel_attach_raw_tracepoint(k, object_to_prog(o));
}

s64 cmd_prog_attach(struct call *k)
{
	return attach_refused(k, k->attr.prog_attach.prog_fd);
}
