/* SPDX-License-Identifier: MIT */
/* One call made by a thread that a process lends, which is not necessarily a target. */
#pragma once

#include <sys/types.h>

#include "abi/types.h"

struct broker;

/* mmap(2) of our descriptor fd. The address or -errno, see inject_open() and inject_borrow(). */
s64 lend_mmap(struct broker *b, pid_t pid, u64 addr, u64 size, int prot, int flags, int fd, u64 off);
