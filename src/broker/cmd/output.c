/* SPDX-License-Identifier: MIT */
/*
 * Perf events that programs write to: perf_event_open(2) of the software event BPF_OUTPUT for a CPU, ioctl(2) on it.
 * mmap(2) of it is in mmap.c. Follows kernel/events/core.c.
 */
#include "broker/object/output.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "broker/cmd/cmd.h"

bool output_is_ours(const struct perf_event_attr *a)
{
	return a->type == PERF_TYPE_SOFTWARE && a->config == PERF_COUNT_SW_BPF_OUTPUT;
}

s64 cmd_output_open(struct call *k, const struct perf_event_attr *a, s32 pid, s32 cpu)
{
	struct output_spec spec = {
	    .cpu = (u32)cpu,
	    .wake_events = a->watermark ? 0 : a->wakeup_events,
	    .wake_bytes = a->watermark ? a->wakeup_watermark : 0,
	    .disabled = a->disabled,
	};
	struct object_output *o;
	int r;

	if (pid != -1 || cpu < 0) {
		snprintf(k->notice, sizeof(k->notice), "a perf buffer of one process is not there, only of one CPU");
		return -EOPNOTSUPP;
	}
	if (a->sample_type != PERF_SAMPLE_RAW) {
		snprintf(k->notice, sizeof(k->notice), "perf buffer: only PERF_SAMPLE_RAW is there, not sample_type %#llx",
			 (unsigned long long)a->sample_type);
		return -EOPNOTSUPP;
	}
	r = object_output_new(k->b, &spec, &o);
	return r < 0 ? r : call_give(k, &o->obj);
}

s64 cmd_output_ioctl(struct call *k, struct object_output *o, u32 request, u64 argument)
{
	u64 id = o->obj.id;

	switch (request) {
	case (u32)PERF_EVENT_IOC_ENABLE: object_output_enable(o, true); return 0;
	case (u32)PERF_EVENT_IOC_DISABLE: object_output_enable(o, false); return 0;
	case (u32)PERF_EVENT_IOC_RESET:
	case (u32)PERF_EVENT_IOC_REFRESH: return 0;
	case (u32)PERF_EVENT_IOC_ID: return client_write(k->c, argument, &id, sizeof(id));
	case (u32)PERF_EVENT_IOC_SET_BPF: return -EINVAL; /* an event of this kind runs no program */
	}
	return -ENOTTY;
}
