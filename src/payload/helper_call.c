/* SPDX-License-Identifier: MIT */
/*
 * Helpers that call a function of the program, bpf_loop, bpf_for_each_map_elem and bpf_user_ringbuf_drain (callback.h),
 * and bpf_tail_call.
 */
#include <asm/errno.h>
#include <linux/bpf.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "maps/maps.h"
#include "payload/bell.h"
#include "payload/callback.h"
#include "payload/helper_dynptr.h"
#include "payload/map_each.h"
#include "payload/thread.h"

#define LOOPS_MAX (1u << 23)
#define SAMPLES_MAX (128u << 10) /* BPF_MAX_USER_RINGBUF_SAMPLES */
#define TAIL_CALLS_MAX 33u

u64 callback_loop(u64 n, u64 fn, u64 data, u64 flags, u64 r5, u64 keep)
{
	u32 i, loops = (u32)n;

	if (flags)
		return (u64)-EINVAL;
	if (loops > LOOPS_MAX)
		return (u32)-E2BIG; /* 32 bits: what the kernel's inlined loop gives */
	for (i = 0; i < loops; i++)
		if (callback_call(fn, i, data, 0, 0, keep))
			return i + 1;
	return i;
}

/* bpf_for_each_map_elem: how many elements were handed out. */
u64 callback_for_each(u64 map, u64 fn, u64 data, u64 flags, u64 r5, u64 keep)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = {.tid = nt_state.tid_off ? thread_tid() : 0, .cpu = thread_cpu_of(v)};
	struct map_each e = {0};
	u64 n = 0;

	if (flags)
		return (u64)-EINVAL;
	while (map_each_next(v, &c, &e)) {
		n++;
		if (callback_call(fn, map, (u64)e.key, (u64)e.value, data, keep))
			break;
	}
	return n;
}

static s64 drain(const struct nt_map_view *v, u64 fn, u64 data, u64 keep)
{
	struct user_sample s;
	struct dynptr d;
	s64 n = 0;

	for (u32 i = 0; i < SAMPLES_MAX; i++) {
		int r = user_ring_peek(v, &s);
		u64 stop;

		if (r == -EAGAIN)
			continue;
		if (r == -ENODATA)
			break;
		if (r)
			return r;
		dynptr_set(&d, s.data, s.size);
		stop = callback_call(fn, (u64)&d, data, 0, 0, keep);
		user_ring_release(v, &s);
		n++;
		if (stop)
			break;
	}
	return n;
}

/* bpf_user_ringbuf_drain(): samples that were handed out. Who waits for room is woken. */
u64 callback_user_ring_drain(u64 map, u64 fn, u64 data, u64 flags, u64 r5, u64 keep)
{
	const struct nt_map_view *v = (void *)map;
	struct nt_caller c = thread_caller(v);
	s64 n;

	if (flags & ~(u64)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP))
		return (u64)-EINVAL;
	if (!user_ring_begin(v, &c))
		return (u64)-EBUSY;
	n = drain(v, fn, data, keep);
	user_ring_end(v, &c);
	if (flags & BPF_RB_FORCE_WAKEUP || (n > 0 && !(flags & BPF_RB_NO_WAKEUP)))
		bell_ring_if_armed(v);
	return (u64)n;
}

/* Programs that are in an array are mapped before their id is (broker/link/progs.c). */
static u64 prog_entry(u64 id)
{
	u32 n = at_load_acq(&nt_state.nprogs);

	for (u32 i = 0; i < bits_min(n, NT_MAX_PROGS); i++)
		if (nt_state.progs[i].id == id)
			return nt_state.progs[i].entry;
	return 0;
}

/* bpf_tail_call: where to go on, 0 = nowhere. */
u64 helper_tail_call(u64 ctx, u64 map, u64 index, u64 r4, u64 r5)
{
	const struct nt_map_view *v = (void *)map;
	u32 *count = (u32 *)(ctx + NT_CTX_TAIL_CALLS);
	const u64 *slot = map_slot(v, (u32)index);
	u64 id, entry;

	if (!slot || *count >= TAIL_CALLS_MAX)
		return 0;
	id = at_load_acq(slot);
	entry = id ? prog_entry(id) : 0;
	*count += !!entry;
	return entry;
}
