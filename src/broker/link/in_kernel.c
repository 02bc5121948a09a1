/* SPDX-License-Identifier: MIT */
/*
 * The kernel puts a breakpoint over the first byte of an instruction and runs a copy of that instruction as it is in the
 * file. Over a jump of ours that would be fatal: it would go on in the jump's middle. So no target of a link in the kernel
 * may be near to a jump of ours; a jump needs a few instructions behind its site, and sometimes room within the reach of a
 * short jump. (The other way round is safe: who writes a jump looks first whether the bytes are the file's.)
 */
#include "broker/link/in_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/arch/cpu.h"
#include "broker/link/process.h"
#include "broker/link/site.h"
#include "broker/object/kernel.h"
#include "broker/object/twin.h"
#include "util/fd.h"

#define NEAR 160u /* bytes: a short jump there, a long jump, the instruction that it cuts */
#define ATTACH_PERF_EVENT 41u

static bool offsets_near(u64 a, u64 b)
{
	return a < b ? b - a < NEAR : a - b < NEAR;
}

static int by_value(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u64 *sorted(const struct link *l)
{
	u64 *copy = malloc(l->n * sizeof(*copy));

	if (copy) {
		memcpy(copy, l->offsets, l->n * sizeof(*copy));
		qsort(copy, l->n, sizeof(*copy), by_value);
	}
	return copy;
}

/* The smallest index i with off[i] + NEAR > at. */
static u32 first_near(const u64 *off, u32 n, u64 at)
{
	u32 lo = 0, hi = n;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (off[mid] + NEAR > at)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static bool any_near(const u64 *off, u32 n, u64 at)
{
	u32 i = first_near(off, n, at);

	return i < n && offsets_near(off[i], at);
}

bool in_kernel_is_near(const struct link *a, const struct link *b)
{
	u64 *off free_auto = NULL;

	if (a->file_dev != b->file_dev || a->file_ino != b->file_ino)
		return false;
	off = sorted(a);
	for (u32 i = 0; i < b->n; i++)
		if (!off || any_near(off, a->n, b->offsets[i]))
			return true;
	/* Exits of its functions, where return probes sit in code that cannot be called through. */
	for (u32 i = b->n; b->site && i < b->nsites; i++)
		if (any_near(off, a->n, b->site[i]->off))
			return true;
	return false;
}

static const struct process *who_has_jump(const struct engine *e, const struct link *l, const u64 *off)
{
	for (struct process *p = e->processes; p; p = p->hh.next)
		for (struct module *m = p->modules; m; m = m->next) {
			struct binary *b = m->binary;

			if (b->key.dev != l->file_dev || b->key.ino != l->file_ino)
				continue;
			for (u32 i = 0; i < b->nsites; i++)
				if (b->site[i]->id < m->npatch && m->patch[b->site[i]->id].region &&
				    any_near(off, l->n, b->site[i]->off))
					return p;
		}
	return NULL;
}

int in_kernel_check(const struct link *l, char *notice, size_t n)
{
	unsigned char insn[16];
	char path[32];
	int fd fd_auto = -1;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", l->file_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (u32 i = 0; fd >= 0 && i < l->n; i++) {
		ssize_t got = pread(fd, insn, sizeof(insn), (off_t)l->offsets[i]);

		if (got <= 0 || !cpu_kernel_refuses(insn, (unsigned)got))
			continue;
		snprintf(notice, n, "program %s would have to go to the kernel, because %s; but the kernel has no uprobes at "
			 "instructions like the one at %#llx in %s", l->prog->name, l->why, (unsigned long long)l->offsets[i],
			 l->path);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int open_multi(struct link *l, const char *path)
{
	struct nt_link_create_uprobe_multi a = {
	    .prog_fd = (u32)l->prog->twin->fd,
	    .attach_type = l->prog->expected_attach,
	    .path = (u64)path,
	    .offsets = (u64)l->offsets,
	    .ref_ctr_offsets = (u64)l->ref_ctrs,
	    .cookies = (u64)l->cookies,
	    .cnt = l->n,
	    .multi_flags = l->flags,
	    .pid = (u32)l->pid,
	};
	int r = kernel_bpf(BPF_LINK_CREATE, &a, sizeof(a));

	if (r < 0)
		return r;
	l->kernel_fd = r;
	return 0;
}

static int open_event(struct link *l, const char *path)
{
	struct perf_event_attr a = {
	    .type = (u32)l->engine->broker->uprobe_type,
	    .size = sizeof(a),
	    .config = (u64)l->at_return | (l->ref_ctrs ? l->ref_ctrs[0] : 0) << 32,
	    .config1 = (u64)path,
	    .config2 = l->offsets[0],
	};
	struct {
		u32 prog_fd, target_fd, attach_type, flags;
		u64 cookie;
	} link = {.prog_fd = (u32)l->prog->twin->fd, .attach_type = ATTACH_PERF_EVENT, .cookie = l->cookies ? l->cookies[0] : 0};
	int r, fd fd_auto = (int)syscall(SYS_perf_event_open, &a, l->pid ? l->pid : -1, l->pid ? -1 : 0, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	link.target_fd = (u32)fd;
	r = kernel_bpf(BPF_LINK_CREATE, &link, sizeof(link));
	if (r < 0)
		return r;
	l->kernel_fd = r; /* it keeps the event */
	return ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) < 0 ? -errno : 0;
}

int in_kernel_open(struct link *l, char *notice, size_t n)
{
	u64 *off free_auto = sorted(l);
	const struct process *p;
	char path[32];
	int r;

	if (!off)
		return -ENOMEM;
	p = who_has_jump(l->engine, l, off);
	if (p) {
		snprintf(notice, n, "%s cannot go to the kernel: pid %d (%s) has a jump of notrap's at or near one of its targets",
			 l->prog->name, p->pid, p->comm);
		return -EBUSY;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", l->file_fd);
	r = l->multi ? open_multi(l, path) : open_event(l, path);
	if (r < 0) {
		snprintf(notice, n, "%s cannot be attached in the kernel to %s: %s", l->prog->name, l->path, strerror(-r));
		in_kernel_close(l);
	}
	return r;
}

void in_kernel_close(struct link *l)
{
	fd_closep(&l->kernel_fd);
}
