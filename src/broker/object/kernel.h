/* SPDX-License-Identifier: MIT */
/*
 * The real kernel, asked by the broker itself (`notrap run --kernel`). Descriptors are CLOEXEC, as bpf(2) makes them.
 * Numbers are those of <linux/bpf.h> 6.18; the system's header may be older.
 */
#pragma once

#include "abi/types.h"

#define KERNEL_TRACE_KPROBE_MULTI 42u
#define KERNEL_TRACE_KPROBE_SESSION 56u

/* bpf(cmd, attr, size): what it returns, or -errno. */
int kernel_bpf(u32 cmd, void *attr, u32 size);

/* May this process load programs that look into the kernel? 0, -EPERM, -ENOSYS ...: tried with a program of two
 * instructions. */
int kernel_may(void);

/* Has the kernel this type of program attached by itself, or only once the loader has said to what? The former (false)
 * belong to the kernel as soon as they are loaded; the latter (true) may be for a uprobe, a clock or a test run of ours. */
bool kernel_prog_is_dual(u32 type, u32 expected_attach);

/* A program that a loader has a descriptor of from the kernel itself: for `notrap ps`. */
struct kernel_prog {
	u32 id, type, links;
	int pid; /* of the loader */
	char name[16];
	struct kernel_prog *prev, *next; /* broker.kernel_progs */
};

/* The program's number, 0 = not to be had. */
u32 kernel_prog_id(int fd);
