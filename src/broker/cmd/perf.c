/* SPDX-License-Identifier: MIT */
/*
 * perf_event_open(2) for the uprobe PMU and for clocks that run a program (clock.c), and ioctl(2) on such events; every
 * other event is the kernel's own business. Order of checks: kernel/events/core.c, then perf_uprobe_init() in
 * kernel/trace/trace_event_perf.c.
 */
#include "broker/object/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bits.h"
#include "broker/cmd/cmd.h"
#include "broker/cmd/kernel.h"
#include "broker/cmd/kernel_only.h"
#include "broker/link/link.h"
#include "broker/object/output.h"
#include "broker/object/prog.h"
#include "util/fd.h"
#include "util/proc.h"

#define PERF_FLAGS                                                                                 \
	(PERF_FLAG_FD_NO_GROUP | PERF_FLAG_FD_OUTPUT | PERF_FLAG_PID_CGROUP | PERF_FLAG_FD_CLOEXEC)

/* Zero-fills what the client's shorter struct lacks. */
static int perf_copy_attr(struct call *k, u64 uattr, struct perf_event_attr *ret)
{
	const u32 ours = sizeof(*ret);
	u32 size;
	int r =
	    client_read(k->c, uattr + offsetof(struct perf_event_attr, size), &size, sizeof(size));

	if (r < 0)
		return r;
	if (!size)
		size = PERF_ATTR_SIZE_VER0;
	if (size >= PERF_ATTR_SIZE_VER0)
		r = call_check_tail(k, uattr, ours, size);
	if (size < PERF_ATTR_SIZE_VER0 || r == -E2BIG) {
		r = client_write(k->c, uattr + offsetof(struct perf_event_attr, size), &ours,
				 sizeof(ours));
		return r < 0 ? r : -E2BIG;
	}
	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	return client_read(k->c, uattr, ret, bits_min(size, ours));
}

static int perf_check_target(struct call *k, s32 pid, s32 cpu, pid_t *ret)
{
	struct proc_status status;
	pid_t tgid = -1;

	if (pid < -1 || client_pid_here(k->c, pid, &pid) || (pid > 0 && proc_status_read(pid, &status) < 0))
		return -ESRCH;
	if (pid >= 0)
		tgid = pid ? status.tgid : k->c->pid;
	if (cpu < -1 || cpu >= (s32)k->b->ncpus || (cpu == -1 && pid == -1))
		return -EINVAL;
	*ret = tgid;
	return 0;
}

static int perf_resolve(struct call *k, const struct perf_event_attr *a, struct object_perf *p)
{
	char path[PATH_MAX];
	struct stat st;
	long len;

	if (!a->config1)
		return -EINVAL;
	len = client_read_str(k->c, a->config1, path, sizeof(path));
	if (len < 0)
		return len == -ENAMETOOLONG ? -E2BIG : (int)len;
	if (!len)
		return -EINVAL;
	p->path_fd = client_open_path(k->c, path);
	if (p->path_fd < 0)
		return p->path_fd;
	if (fstat(p->path_fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (s64)a->config2 > st.st_size)
		return -EINVAL;
	p->raw_path = strdup(path);
	if (!p->raw_path)
		return -ENOMEM;
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	p->offset = a->config2;
	p->retprobe = a->config & 1;
	p->ref_ctr = (u32)(a->config >> 32);
	return p->ref_ctr & 1 ? -EINVAL : 0;
}

static bool perf_is_uprobe(const struct broker *b, const struct perf_event_attr *a)
{
	return b->uprobe_type >= 0 && a->type == (u32)b->uprobe_type;
}

s64 cmd_perf_open(struct call *k, u64 uattr, s32 pid, s32 cpu, s32 group_fd, u64 flags)
{
	struct object_perf p = {.path_fd = -1}, *perf;
	struct perf_event_attr a = {};
	pid_t tgid = -1;
	int r = client_read(k->c, uattr, &a, PERF_ATTR_SIZE_VER0);

	if (r < 0 || (!perf_is_uprobe(k->b, &a) && (k->c->kernel || !clock_is_ours(&a)) && !output_is_ours(&a))) {
		k->native = true;
		return 0;
	}
	if (flags & ~(u64)PERF_FLAGS)
		return -EINVAL;
	r = perf_copy_attr(k, uattr, &a);
	if (!r && flags & PERF_FLAG_PID_CGROUP)
		r = -EINVAL;
	if (!r)
		r = perf_check_target(k, pid, cpu, &tgid);
	if (!r && output_is_ours(&a))
		return cmd_output_open(k, &a, pid, cpu);
	if (!r && !perf_is_uprobe(k->b, &a))
		return clock_open(k, &a, tgid, cpu);
	p.pid = tgid;
	if (!r)
		r = perf_resolve(k, &a, &p);
	if (!r)
		r = object_perf_new(k->b, &p, &perf);
	if (r < 0) {
		fd_closep(&p.path_fd);
		free(p.raw_path);
		return r;
	}
	return call_give(k, &perf->obj);
}

static s64 perf_set_bpf(struct call *k, struct object_perf *p, int prog_fd)
{
	struct object_prog *prog;
	struct object *o;
	int r = object_by_fd(k->c, prog_fd, OBJECT_PROG, &o);

	if (r < 0)
		return r;
	prog = object_to_prog(o);
	if (p->clock.period_ns)
		return clock_attach(k, p, prog);
	if (prog->type != BPF_PROG_TYPE_KPROBE)
		return -EINVAL;
	if (p->link || p->linked)
		return -EEXIST;
	r = link_create_perf(k->b, k->c, p, prog, 0, k->notice, sizeof(k->notice), &p->link);
	if (!r)
		object_use_id(k->b, OBJECT_LINK); /* `notrap ps` and the log call it by a number of its own */
	return r;
}

s64 cmd_ioctl(struct call *k, int fd, u64 request, u64 argument)
{
	struct object_perf *p;
	struct object *o;
	u64 id;

	if (object_by_fd(k->c, fd, OBJECT_NKINDS, &o) < 0 || (o->kind != OBJECT_PERF && o->kind != OBJECT_OUTPUT)) {
		if ((u32)request == (u32)PERF_EVENT_IOC_SET_BPF && !object_by_fd(k->c, (int)argument, OBJECT_PROG, &o) &&
		    kernel_only_is_event(k->c, fd))
			return kernel_attach_event(k, object_to_prog(o), fd, NULL);
		k->native = true;
		return 0;
	}
	if (o->kind == OBJECT_OUTPUT)
		return cmd_output_ioctl(k, object_to_output(o), (u32)request, argument);
	p = object_to_perf(o);
	switch ((u32)request) {
	case (u32)PERF_EVENT_IOC_SET_BPF: return perf_set_bpf(k, p, (int)argument);
	/* The program of a uprobe runs from attach to close, whatever these say (measured). */
	case (u32)PERF_EVENT_IOC_ENABLE:
	case (u32)PERF_EVENT_IOC_DISABLE:
		clock_turn(p, (u32)request == (u32)PERF_EVENT_IOC_ENABLE);
		return 0;
	case (u32)PERF_EVENT_IOC_RESET: return 0;
	case (u32)PERF_EVENT_IOC_ID:
		id = p->obj.id;
		return client_write(k->c, argument, &id, sizeof(id));
	}
	return -ENOTTY;
}
