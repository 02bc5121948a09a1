/* SPDX-License-Identifier: MIT */
#include "ebpf/helpers.h"

#include <linux/bpf.h>

/* Newer headers pass the number too and leave the comma to us; older ones write it themselves. */
#ifdef ___BPF_FUNC_MAPPER
#define HELPER_NAME(x, ...) [BPF_FUNC_##x] = "bpf_" #x,
#else
#define HELPER_NAME(x) [BPF_FUNC_##x] = "bpf_" #x
#endif
static const char *const names[] = {__BPF_FUNC_MAPPER(HELPER_NAME)};
#define NAMES_N (sizeof(names) / sizeof(names[0]))

static const struct ebpf_helper protos[] = {
    [BPF_FUNC_map_lookup_elem] = {EBPF_RET_VALUE_NULL, {EBPF_ARG_MAP, EBPF_ARG_KEY}},
    [BPF_FUNC_map_update_elem] = {EBPF_RET_INT,
				  {EBPF_ARG_MAP, EBPF_ARG_KEY, EBPF_ARG_VALUE, EBPF_ARG_ANY}},
    [BPF_FUNC_map_delete_elem] = {EBPF_RET_INT, {EBPF_ARG_MAP, EBPF_ARG_KEY}},
    [BPF_FUNC_probe_read] = {EBPF_RET_INT, {EBPF_ARG_OUT, EBPF_ARG_SIZE0, EBPF_ARG_ANY}},
    [BPF_FUNC_ktime_get_ns] = {EBPF_RET_INT, {0}},
    [BPF_FUNC_trace_printk] = {EBPF_RET_INT, {EBPF_ARG_MEM, EBPF_ARG_SIZE}},
    [BPF_FUNC_get_prandom_u32] = {EBPF_RET_INT, {0}},
    [BPF_FUNC_get_smp_processor_id] = {EBPF_RET_INT, {0}},
    [BPF_FUNC_get_current_pid_tgid] = {EBPF_RET_INT, {0}},
    [BPF_FUNC_get_current_uid_gid] = {EBPF_RET_INT, {0}},
    [BPF_FUNC_get_current_comm] = {EBPF_RET_INT, {EBPF_ARG_OUT, EBPF_ARG_SIZE}},
    [BPF_FUNC_get_current_task] = {EBPF_RET_INT, {0}},
    [BPF_FUNC_probe_read_str] = {EBPF_RET_INT, {EBPF_ARG_OUT, EBPF_ARG_SIZE0, EBPF_ARG_ANY}},
    [BPF_FUNC_probe_read_user] = {EBPF_RET_INT, {EBPF_ARG_OUT, EBPF_ARG_SIZE0, EBPF_ARG_ANY}},
    [BPF_FUNC_probe_read_kernel] = {EBPF_RET_INT, {EBPF_ARG_OUT, EBPF_ARG_SIZE0, EBPF_ARG_ANY}},
    [BPF_FUNC_probe_read_user_str] = {EBPF_RET_INT, {EBPF_ARG_OUT, EBPF_ARG_SIZE0, EBPF_ARG_ANY}},
    [BPF_FUNC_probe_read_kernel_str] = {EBPF_RET_INT, {EBPF_ARG_OUT, EBPF_ARG_SIZE0, EBPF_ARG_ANY}},
    [BPF_FUNC_jiffies64] = {EBPF_RET_INT, {0}},
    [BPF_FUNC_ktime_get_boot_ns] = {EBPF_RET_INT, {0}},
    [BPF_FUNC_ringbuf_output] = {EBPF_RET_INT,
				 {EBPF_ARG_MAP, EBPF_ARG_MEM, EBPF_ARG_SIZE0, EBPF_ARG_ANY}},
    [BPF_FUNC_ringbuf_reserve] = {EBPF_RET_RECORD_NULL,
				  {EBPF_ARG_MAP, EBPF_ARG_ALLOC, EBPF_ARG_ANY}},
    [BPF_FUNC_ringbuf_submit] = {EBPF_RET_VOID, {EBPF_ARG_RECORD, EBPF_ARG_ANY}},
    [BPF_FUNC_ringbuf_discard] = {EBPF_RET_VOID, {EBPF_ARG_RECORD, EBPF_ARG_ANY}},
    [BPF_FUNC_ringbuf_query] = {EBPF_RET_INT, {EBPF_ARG_MAP, EBPF_ARG_ANY}},
    [BPF_FUNC_ktime_get_coarse_ns] = {EBPF_RET_INT, {0}},
    [BPF_FUNC_get_func_ip] = {EBPF_RET_INT, {EBPF_ARG_CTX}},
    [BPF_FUNC_get_attach_cookie] = {EBPF_RET_INT, {EBPF_ARG_CTX}},
    [BPF_FUNC_trace_vprintk] = {EBPF_RET_INT,
				{EBPF_ARG_MEM, EBPF_ARG_SIZE, EBPF_ARG_MEM_NULL, EBPF_ARG_SIZE0}},
    [BPF_FUNC_strncmp] = {EBPF_RET_INT, {EBPF_ARG_MEM, EBPF_ARG_SIZE, EBPF_ARG_STRING}},
};

const struct ebpf_helper *ebpf_helper_get(u32 id)
{
	if (id >= sizeof(protos) / sizeof(protos[0]))
		return NULL;
	/* Every prototype has an argument or is one of the plain queries; an all-zero entry is a
	 * hole. */
	switch (id) {
	case BPF_FUNC_ktime_get_ns:
	case BPF_FUNC_get_prandom_u32:
	case BPF_FUNC_get_smp_processor_id:
	case BPF_FUNC_get_current_pid_tgid:
	case BPF_FUNC_get_current_uid_gid:
	case BPF_FUNC_get_current_task:
	case BPF_FUNC_jiffies64:
	case BPF_FUNC_ktime_get_boot_ns:
	case BPF_FUNC_ktime_get_coarse_ns: return &protos[id];
	default: return protos[id].arg[0] == EBPF_ARG_NONE ? NULL : &protos[id];
	}
}

const char *ebpf_helper_name(u32 id)
{
	/* newer than the oldest header we build with */
	if (id == 210)
		return "bpf_cgrp_storage_get";
	if (id == 211)
		return "bpf_cgrp_storage_delete";
	return id == 0 || id >= NAMES_N ? NULL : names[id];
}

static bool type_is_tracing(u32 prog_type)
{
	return prog_type == BPF_PROG_TYPE_KPROBE || prog_type == BPF_PROG_TYPE_TRACEPOINT ||
	       prog_type == BPF_PROG_TYPE_PERF_EVENT || prog_type == BPF_PROG_TYPE_RAW_TRACEPOINT ||
	       prog_type == BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE;
}

bool ebpf_helper_allowed(u32 id, u32 prog_type)
{
	if (!ebpf_helper_get(id))
		return false;
	switch (id) {
	case BPF_FUNC_probe_read:
	case BPF_FUNC_probe_read_str: return type_is_tracing(prog_type);
	case BPF_FUNC_get_func_ip: return prog_type == BPF_PROG_TYPE_KPROBE;
	case BPF_FUNC_get_attach_cookie:
		return prog_type == BPF_PROG_TYPE_KPROBE || prog_type == BPF_PROG_TYPE_TRACEPOINT ||
		       prog_type == BPF_PROG_TYPE_PERF_EVENT ||
		       prog_type == BPF_PROG_TYPE_RAW_TRACEPOINT;
	case BPF_FUNC_ktime_get_coarse_ns: return !type_is_tracing(prog_type);
	default: return true;
	}
}
