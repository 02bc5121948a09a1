/* SPDX-License-Identifier: MIT */
/*
 * Perf events of the software clock, with a program at every tick: bpftrace's interval and profile probes. The kernel
 * interrupts whoever runs on a CPU; here a thread of the loader's front end runs the program (broker/link/run.h), so the
 * clock is right and "current" is the loader.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "broker/cmd/cmd.h"
#include "broker/link/run.h"
#include "broker/object/perf.h"
#include "broker/object/prog.h"

#define PERIOD_MIN_NS 10000u /* perf_swevent_start_hrtimer() */
#define SAMPLE_RATE_MAX 100000u /* kernel.perf_event_max_sample_rate as it is by default */
#define NS_PER_S 1000000000ull

bool clock_is_ours(const struct perf_event_attr *a)
{
	return a->type == PERF_TYPE_SOFTWARE &&
	       (a->config == PERF_COUNT_SW_CPU_CLOCK || a->config == PERF_COUNT_SW_TASK_CLOCK) && a->sample_period &&
	       !a->sample_type;
}

static int clock_period(const struct perf_event_attr *a, u64 *ret)
{
	if (a->freq ? a->sample_freq > SAMPLE_RATE_MAX : a->sample_period >> 63)
		return -EINVAL;
	*ret = bits_max(a->freq ? NS_PER_S / a->sample_freq : a->sample_period, (u64)PERIOD_MIN_NS);
	return 0;
}

s64 clock_open(struct call *k, const struct perf_event_attr *a, pid_t pid, s32 cpu)
{
	struct object_perf p = {.path_fd = -1, .pid = pid}, *perf;
	int r = clock_period(a, &p.clock.period_ns);

	if (r < 0)
		return r;
	if (pid > 0 && pid != k->c->pid) {
		snprintf(k->notice, sizeof(k->notice),
			 "cannot sample pid %d by the clock: only the loader itself runs programs by the clock", pid);
		return -EOPNOTSUPP;
	}
	p.clock.config = (u32)a->config;
	p.clock.cpu = cpu;
	p.clock.on = !a->disabled;
	r = object_perf_new(k->b, &p, &perf);
	return r < 0 ? r : call_give(k, &perf->obj);
}

int clock_attach(struct call *k, struct object_perf *p, struct object_prog *prog)
{
	int r;

	if (p->clock.run)
		return -EEXIST;
	if (prog->type != BPF_PROG_TYPE_PERF_EVENT)
		return -EINVAL;
	r = run_open(k->b, k->c->pid, prog, 0, &p->clock.run);
	if (r < 0) {
		snprintf(k->notice, sizeof(k->notice), "cannot run a program in the loader itself (pid %d): %s%s", k->c->pid,
			 strerror(-r), r == -EBUSY || r == -EPERM ? "; is it being traced?" : "");
		return r;
	}
	k->has_run = true;
	k->run = (struct nt_run_order){
	    .token = run_token(p->clock.run),
	    .entry = run_entry(p->clock.run),
	    .gate = run_gate(p->clock.run),
	    .period_ns = p->clock.period_ns,
	    .cpu = p->clock.cpu,
	};
	run_set(p->clock.run, p->clock.on ? NT_RUN_ON : NT_RUN_OFF);
	return 0;
}

void clock_turn(struct object_perf *p, bool on)
{
	p->clock.on = on;
	if (p->clock.run)
		run_set(p->clock.run, on ? NT_RUN_ON : NT_RUN_OFF);
}
