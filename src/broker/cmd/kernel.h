/* SPDX-License-Identifier: MIT */
/*
 * `notrap run --kernel`: calls that are the kernel's to answer (docs/adr/004).
 *
 * Programs of types that only the kernel runs are its own from their load on: the loader gets the kernel's descriptor, and
 * all that it does with that is between the two of them ("native"). What the broker has to do is to put the twins of its
 * maps into them. Programs of types that may be either (KPROBE, PERF_EVENT, RAW_TRACEPOINT) are ours until they are
 * attached to something of the kernel's.
 */
#pragma once

#include "broker/cmd/cmd.h"
#include "broker/object/prog.h"

struct object_map;
struct twin_prog;

/* Is this bpf(2) call not for the commands of bpf.c? Then *ret is its result (or k->native is set). */
bool kernel_cmd(struct call *k, u32 cmd, s64 *ret);

/* Attaches prog to the client's descriptor of a perf event of the kernel's: as ioctl(PERF_EVENT_IOC_SET_BPF) does, or, with
 * cookie, as BPF_LINK_CREATE: then k->ret_fd is the kernel's link. Refused in words without --kernel. */
s64 kernel_attach_event(struct call *k, struct object_prog *prog, int event, const u64 *cookie);
/* BPF_RAW_TRACEPOINT_OPEN. */
s64 kernel_attach_raw_tracepoint(struct call *k, struct object_prog *prog);

/* kernel_prog.c. Copies in what the loader has to say about a program, of the attr in k. 0 or -errno. */
int kernel_twin_new(struct call *k, struct twin_prog **ret);
/* Loads it with the loader's own log. 0 or the kernel's -errno. */
int kernel_twin_load(struct call *k, struct twin_prog *t);
/* BPF_PROG_LOAD of a type that is the kernel's alone. */
s64 kernel_prog_load(struct call *k);
/* Our verifier has refused p. Does the kernel's take it? Then it is good for the kernel alone, and 0. Else the kernel's error,
 * and its log in the loader's. */
int kernel_prog_rescue(struct call *k, struct object_prog *p, int refused);

/* kernel_elem.c: a command on elements of a map that the kernel owns. cmd is such a command. */
s64 kernel_elem(struct call *k, u32 cmd, struct object_map *m, int mode);
