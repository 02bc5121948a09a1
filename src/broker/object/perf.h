/* SPDX-License-Identifier: MIT */
/* A perf event that a program can be attached to: a place in a file (the uprobe PMU), or a clock
 * (PERF_COUNT_SW_CPU_CLOCK). */
#pragma once

#include <sys/types.h>

#include "broker/object/object.h"

struct link;
struct run;

struct object_perf {
	struct object obj;
	struct {
		u64 period_ns; /* 0: this is no clock; what follows up to `linked` means nothing for a clock */
		u32 config;    /* PERF_COUNT_SW_* */
		s32 cpu;
		bool on;
		struct run *run; /* NULL: no program yet */
	} clock;
	char *raw_path; /* as the loader wrote it: what link info shows */
	int path_fd;	/* O_PATH descriptor of the file, from the loader's point of view */
	dev_t dev;	/* as stat(2) shows it */
	ino_t ino;
	u64 offset;  /* in the file */
	u32 ref_ctr; /* file offset of the semaphore, 0 = none */
	bool retprobe;
	pid_t pid;   /* only this process, in the broker's pid namespace; -1 = all */
	bool linked; /* some bpf link uses it */
	struct link
	    *link; /* of ioctl(PERF_EVENT_IOC_SET_BPF), NULL before; not visible as a bpf link */
};

/* Takes over raw_path and path_fd; one reference, the caller's. -ENOMEM: from is untouched. */
int object_perf_new(struct broker *b, const struct object_perf *from, struct object_perf **ret);

static inline struct object_perf *object_to_perf(struct object *o)
{
	return (struct object_perf *)o; /* obj is the first member */
}
