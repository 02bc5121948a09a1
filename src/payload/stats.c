/* SPDX-License-Identifier: MIT */
/* Runs of programs, counted while BPF_ENABLE_STATS is on: then dispatchers call programs through here. */
#include "base/atomic.h"
#include "payload/clock.h"
#include "payload/payload.h"

u64 stats_run(u64 ctx, u64 (*program)(u64 ctx), struct nt_prog_stats *stats)
{
	u64 begin = clock_ns(CLOCK_ID_MONOTONIC), result = program(ctx);

	at_add(&stats->run_time_ns, clock_ns(CLOCK_ID_MONOTONIC) - begin);
	at_add(&stats->run_cnt, 1ull);
	return result;
}
