/* SPDX-License-Identifier: MIT */
/* bpf_ktime_get_ns, bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns, bpf_ktime_get_tai_ns, bpf_jiffies64. */
#include "payload/clock.h"

#define HZ 250u /* no user can see the kernel's; distributions agree on this one */
#define JIFFY_NS (1000000000u / HZ)
#define INITIAL_JIFFIES                                                                            \
	((u64)(u32)(-300 * (s32)HZ)) /* at boot, so that the wrap of 32 bits is met early */

u64 helper_ktime_ns(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return clock_ns(CLOCK_ID_MONOTONIC);
}

u64 helper_ktime_boot_ns(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return clock_ns(CLOCK_ID_BOOTTIME);
}

u64 helper_ktime_coarse_ns(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return clock_ns(CLOCK_ID_MONOTONIC_COARSE);
}

u64 helper_ktime_tai_ns(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return clock_ns(CLOCK_ID_TAI);
}

u64 helper_jiffies64(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return INITIAL_JIFFIES + clock_ns(CLOCK_ID_MONOTONIC_COARSE) / JIFFY_NS;
}
