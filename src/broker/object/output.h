/* SPDX-License-Identifier: MIT */
/*
 * A perf event that programs write to (bpf_perf_event_output): a software event of the kind BPF_OUTPUT, and its buffer
 * in the broker's arena (abi/output.h). It has the descriptor of an object; what the loader maps is the arena.
 */
#pragma once

#include "abi/output.h"
#include "broker/object/object.h"

struct output_spec {
	u32 cpu;
	u32 wake_events;
	u64 wake_bytes; /* 0 = when half of the buffer is new */
	bool disabled;
};

struct object_output {
	struct object obj;
	u32 ctl_page; /* in the arena */
	u32 ring_page, order;
	u64 wake_bytes;
	int pollable_fd; /* eventfd that stands for it in poll and epoll, -1 = nobody waits */
};

/* One reference, the caller's. -ENOMEM also when the arena is full. */
int object_output_new(struct broker *b, const struct output_spec *spec, struct object_output **ret);
/* mmap(2) of the event: length bytes from offset 0. Where in the arena that is. -EINVAL, -ENOMEM. */
int object_output_map(struct object_output *o, u64 length, bool writable, u64 *ret_off);
void object_output_enable(struct object_output *o, bool on);
/* The eventfd (owned by the object). */
int object_output_pollable(struct object_output *o);
/* The doorbell rang: wakes the readers of every event whose `armed` flag was taken. */
void object_output_kick_rung(struct broker *b);

struct nt_out_ctl *object_output_ctl(const struct object_output *o);

/* The arena's memfd, made when first asked for. Descriptor (owned by the broker) or -errno. */
int output_arena_fd(struct broker *b);
void output_arena_free(struct broker *b);
/* Where it is mapped here; NULL: it was never asked for. */
u8 *output_arena_base(struct broker *b);

static inline struct object_output *object_to_output(struct object *o)
{
	return (struct object_output *)o; /* obj is the first member */
}
