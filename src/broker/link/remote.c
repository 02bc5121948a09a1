/* SPDX-License-Identifier: MIT */
#include "broker/link/remote.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define TOUCHED (4 * NT_PAGE) /* those of small maps */

s64 remote_mmap(struct process *p, u64 addr, u64 size, int prot, int flags, int fd, u64 off)
{
	return inject_syscall(&p->target, SYS_mmap, addr, size, (u64)prot, (u64)flags, (u64)(s64)fd, off);
}

void remote_munmap(struct process *p, u64 addr, u64 size)
{
	inject_syscall(&p->target, SYS_munmap, addr, size, 0, 0, 0, 0);
}

s64 remote_map_file(struct process *p, int fd, u64 addr, u64 size, int prot)
{
	int remote;
	int r = inject_send_fds(&p->target, &fd, 1, &remote);
	s64 at;

	if (r)
		return r;
	/* MAP_SHARED is what the filter of static loaders asks us about (cli/filter.c); this one is the same, and is not. */
	at = remote_mmap(p, addr, size, prot, MAP_SHARED_VALIDATE | (addr ? MAP_FIXED : 0), remote, 0);
	inject_syscall(&p->target, SYS_close, (u64)remote, 0, 0, 0, 0, 0);
	return at;
}

int remote_map_parts(struct process *p, int fd, const struct remote_part *part, u32 n)
{
	int remote, r = inject_send_fds(&p->target, &fd, 1, &remote);

	if (r)
		return r;
	for (u32 i = 0; i < n && !r; i++) {
		s64 at = remote_mmap(p, part[i].addr, part[i].size, part[i].prot, MAP_SHARED_VALIDATE | MAP_FIXED, remote,
				     part[i].off);

		if (remote_failed(at))
			r = (int)at;
	}
	inject_syscall(&p->target, SYS_close, (u64)remote, 0, 0, 0, 0, 0);
	return r;
}

void remote_touch(struct process *p, u64 addr, u64 size)
{
	for (u64 off = 0; off < size && off < TOUCHED; off += NT_PAGE) {
		u8 byte;

		if (inject_read(&p->target, addr + off, &byte, 1))
			return;
	}
}
