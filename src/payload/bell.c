/* SPDX-License-Identifier: MIT */
/*
 * Both words are changed with full barriers between them and what was made visible before: a
 * sleeper says that it will sleep and looks once more, we make the news visible and look whether
 * somebody sleeps. One of the two sees the other.
 */
#include "payload/bell.h"

#include <linux/futex.h>

#include "base/atomic.h"
#include "payload/kernel.h"

#define WAKE_ALL 0x7fffffffu

void bell_ring(void)
{
	struct nt_bell *bell = (void *)nt_state.bell;

	if (!bell)
		return;
	at_add(&bell->rung, 1);
	if (at_load(&bell->waiting))
		kernel_call6(__NR_futex, (u64)&bell->rung, FUTEX_WAKE, WAKE_ALL, 0, 0, 0);
}

void bell_ring_if_armed(const struct nt_map_view *ring)
{
	struct nt_ring_ctl *ctl = (void *)(ring->base + ring->ctl_off);

	if (at_xchg(&ctl->armed, 0) == 1)
		bell_ring();
}
