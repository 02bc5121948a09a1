/* SPDX-License-Identifier: MIT */
/*
 * What only the kernel can serve: kprobes, tracepoints, XDP and all the other places in the kernel where a program can be
 * attached. Such a call fails with EOPNOTSUPP, and says in words what it was and what can be done.
 */
#pragma once

#include "broker/cmd/cmd.h"

/* What programs of this type are attached to. */
const char *kernel_only_name(u32 type);
/* Is the client's descriptor a perf event that the kernel has? */
bool kernel_only_is_event(struct client *c, int fd);
/* A program of ours shall be attached to such an event: -EOPNOTSUPP, with a notice. */
int kernel_only_event(struct call *k);
/* A program of this type (enum bpf_prog_type) shall be attached to what is the kernel's: -EOPNOTSUPP, with a notice. */
int kernel_only_prog(struct call *k, u32 type);
/* Says the same in the log of a program that is refused for its type. */
struct verifier_log;
void kernel_only_log(struct verifier_log *log, u32 type);

/* Commands that attach to nothing else. */
s64 cmd_raw_tracepoint_open(struct call *k);
s64 cmd_prog_attach(struct call *k);
