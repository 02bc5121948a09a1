/* SPDX-License-Identifier: MIT */
/* Memory calls made in a target through a borrowed thread (process_borrow). */
#pragma once

#include "broker/link/process.h"

/* Is this result of a remote mmap a -errno? */
static inline bool remote_failed(s64 addr)
{
	return addr < 0 && addr > -4096;
}

/* mmap(2) in the target: the address or -errno. fd is a number of the target's, -1 none. */
s64 remote_mmap(struct process *p, u64 addr, u64 size, int prot, int flags, int fd, u64 off);
void remote_munmap(struct process *p, u64 addr, u64 size);
/* Maps parts of one of our files, shared, over addresses that are reserved. 0 or -errno: then some may be mapped. */
struct remote_part {
	u64 addr, size;
	int prot;
	u64 off;
};
int remote_map_parts(struct process *p, int fd, const struct remote_part *part, u32 n);
/* Maps one of our files, shared, over [addr, addr + size) or, with addr 0, anywhere; no descriptor stays there. */
s64 remote_map_file(struct process *p, int fd, u64 addr, u64 size, int prot);
/* Has the first pages of [addr, addr + size) there for the process, so that a hit does not have to wait for them. They are read. */
void remote_touch(struct process *p, u64 addr, u64 size);
