/* SPDX-License-Identifier: MIT */
/*
 * bpf_get_stack, bpf_get_task_stack, bpf_get_stackid. Of user stacks only: a program that is reached by a jump has no
 * kernel stack. bpf_get_stack() gives an empty one, as the kernel's for a stack without a frame: 0 bytes, no error,
 * because newer loaders (bpftrace 0.23) warn of every error. bpf_get_stackid() has no id for an empty stack, in the
 * kernel neither: it is -EFAULT, which loaders (BCC's tools) take for "there is none here".
 */
#include <asm/errno.h>
#include <linux/bpf.h>

#include "base/mem.h"
#include "maps/maps.h"
#include "payload/callback.h"
#include "payload/stack.h"
#include "payload/thread.h"

#define STACK_MAX 127u /* sysctl kernel.perf_event_max_stack */
#define STATUS_VALID 1 /* BPF_STACK_BUILD_ID_VALID */
#define STATUS_IP 2	  /* BPF_STACK_BUILD_ID_IP */

struct build_id_entry { /* struct bpf_stack_build_id */
	s32 status;
	u8 build_id[NT_BUILD_ID_SIZE];
	u64 ip; /* VALID: offset in the file */
};

/* stack_map_get_build_id_offset() */
static void put_entry(struct build_id_entry *e, u64 pc)
{
	struct nt_unwind_module m;

	if (!stack_module_of(pc, &m) || !m.has_build_id) {
		*e = (struct build_id_entry){.status = STATUS_IP, .ip = pc};
		return;
	}
	e->status = STATUS_VALID;
	mem_copy(e->build_id, m.build_id, sizeof(e->build_id));
	e->ip = m.off + (pc - m.lo);
}

static void put_frame(void *buf, u32 i, u32 elem, u64 pc)
{
	if (elem == sizeof(u64))
		((mem_word *)buf)[i] = pc;
	else
		put_entry((struct build_id_entry *)buf + i, pc);
}

/* Frames from `skip` on, at most max, in elements of elem bytes; their number. */
static u32 stack_take(u64 ctx, void *buf, u32 elem, u32 skip, u32 max)
{
	struct stack_walk w;
	u32 n = 0, end = skip + max;

	if (end > STACK_MAX)
		end = STACK_MAX;
	stack_walk_begin(&w, ctx);
	for (u32 i = 0; i < end; i++) {
		if (i >= skip)
			put_frame(buf, n++, elem, w.pc);
		if (i + 1 < end && !stack_walk_next(&w))
			break;
	}
	return n;
}

u64 helper_get_stack(u64 ctx, u64 buf, u64 size, u64 flags, u64 r5)
{
	u32 elem = flags & BPF_F_USER_BUILD_ID ? sizeof(struct build_id_entry) : sizeof(u64);
	u32 skip = flags & BPF_F_SKIP_FIELD_MASK, bytes = (u32)size, n;
	s64 err = 0;

	if (flags & ~(u64)(BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID))
		err = -EINVAL;
	else if ((flags & BPF_F_USER_BUILD_ID && !(flags & BPF_F_USER_STACK)) || bytes % elem)
		err = -EINVAL;
	n = err || !(flags & BPF_F_USER_STACK) ? 0 : stack_take(ctx, (void *)buf, elem, skip, bytes / elem);
	if (!err && !n && bytes && flags & BPF_F_USER_STACK)
		err = -EFAULT;
	mem_zero((u8 *)buf + n * elem, bytes - n * elem);
	return err ? (u64)err : (u64)n * elem;
}

/* bpf_get_task_stack, whose task is the current one. */
u64 callback_task_stack(u64 task, u64 buf, u64 size, u64 flags, u64 r5, u64 ctx)
{
	return helper_get_stack(ctx, buf, size, flags, 0);
}

/* By itself, because it needs 4 KiB of stack. */
__attribute__((noinline)) static s64 put_build_ids(const struct nt_map_view *v, const struct nt_caller *c, const u64 *ips, u32 n, u64 flags)
{
	struct build_id_entry entry[STACK_MAX];

	for (u32 i = 0; i < n; i++)
		put_entry(&entry[i], ips[i]);
	return stack_trace_put_as(v, c, ips, entry, n, flags);
}

/* The addresses are collected before they are stored, so that the map's lock is held for a copy only. */
u64 helper_get_stackid(u64 ctx, u64 map, u64 flags, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = thread_caller(v);
	u32 skip = flags & BPF_F_SKIP_FIELD_MASK, n;
	u64 ips[STACK_MAX];

	if (flags & ~(u64)(BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID))
		return (u64)-EINVAL;
	if (!(flags & BPF_F_USER_STACK))
		return (u64)-EFAULT;
	n = stack_take(ctx, ips, sizeof(u64), skip, v->value_size / stack_trace_elem(v));
	if (n && stack_trace_elem(v) != sizeof(u64))
		return (u64)put_build_ids(v, &c, ips, n, flags);
	return n ? (u64)stack_trace_put(v, &c, ips, n, flags) : (u64)-EFAULT;
}
