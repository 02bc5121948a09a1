/* SPDX-License-Identifier: MIT */
/*
 * Which helper takes which type of map, as the kernel's check_map_func_compatibility(): some types
 * have helpers of their own and take no other, some helpers have types of their own; everything
 * else is the helpers' own business.
 */
#include "abi/bpf.h"
#include "ebpf/insn.h"
#include "verifier/env.h"

#define TYPE_CGRP_STORAGE 32u
#define HELPER_CGRP_STORAGE_GET 210u
#define HELPER_CGRP_STORAGE_DELETE 211u

static bool type_takes(u32 type, u32 id)
{
	switch (type) {
	case BPF_MAP_TYPE_PROG_ARRAY: return id == BPF_FUNC_tail_call;
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
		return id == BPF_FUNC_perf_event_read || id == BPF_FUNC_perf_event_output ||
		       id == BPF_FUNC_perf_event_read_value;
	case BPF_MAP_TYPE_RINGBUF:
		return id == BPF_FUNC_ringbuf_output || id == BPF_FUNC_ringbuf_reserve ||
		       id == BPF_FUNC_ringbuf_query || id == BPF_FUNC_ringbuf_reserve_dynptr;
	case NT_BPF_MAP_TYPE_USER_RINGBUF: return id == NT_BPF_FUNC_USER_RINGBUF_DRAIN;
	case BPF_MAP_TYPE_STACK_TRACE: return id == BPF_FUNC_get_stackid;
	case BPF_MAP_TYPE_CGROUP_ARRAY: return id == BPF_FUNC_current_task_under_cgroup;
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_HASH_OF_MAPS: return id == BPF_FUNC_map_lookup_elem;
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK:
		return id == BPF_FUNC_map_push_elem || id == BPF_FUNC_map_pop_elem ||
		       id == BPF_FUNC_map_peek_elem;
	case BPF_MAP_TYPE_BLOOM_FILTER:
		return id == BPF_FUNC_map_push_elem || id == BPF_FUNC_map_peek_elem;
	case BPF_MAP_TYPE_TASK_STORAGE:
		return id == BPF_FUNC_task_storage_get || id == BPF_FUNC_task_storage_delete;
	case TYPE_CGRP_STORAGE:
		return id == HELPER_CGRP_STORAGE_GET || id == HELPER_CGRP_STORAGE_DELETE;
	default: return true;
	}
}

static bool helper_takes(u32 type, u32 id)
{
	switch (id) {
	case BPF_FUNC_tail_call: return type == BPF_MAP_TYPE_PROG_ARRAY;
	case BPF_FUNC_perf_event_read:
	case BPF_FUNC_perf_event_output:
	case BPF_FUNC_perf_event_read_value: return type == BPF_MAP_TYPE_PERF_EVENT_ARRAY;
	case BPF_FUNC_ringbuf_output:
	case BPF_FUNC_ringbuf_reserve:
	case BPF_FUNC_ringbuf_query:
	case BPF_FUNC_ringbuf_reserve_dynptr: return type == BPF_MAP_TYPE_RINGBUF;
	case NT_BPF_FUNC_USER_RINGBUF_DRAIN: return type == NT_BPF_MAP_TYPE_USER_RINGBUF;
	case BPF_FUNC_get_stackid: return type == BPF_MAP_TYPE_STACK_TRACE;
	case BPF_FUNC_current_task_under_cgroup: return type == BPF_MAP_TYPE_CGROUP_ARRAY;
	case BPF_FUNC_map_pop_elem: return type == BPF_MAP_TYPE_QUEUE || type == BPF_MAP_TYPE_STACK;
	case BPF_FUNC_map_push_elem:
	case BPF_FUNC_map_peek_elem:
		return type == BPF_MAP_TYPE_QUEUE || type == BPF_MAP_TYPE_STACK ||
		       type == BPF_MAP_TYPE_BLOOM_FILTER;
	case BPF_FUNC_map_lookup_percpu_elem:
		return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
		       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
	case BPF_FUNC_task_storage_get:
	case BPF_FUNC_task_storage_delete: return type == BPF_MAP_TYPE_TASK_STORAGE;
	case HELPER_CGRP_STORAGE_GET:
	case HELPER_CGRP_STORAGE_DELETE: return type == TYPE_CGRP_STORAGE;
	default: return true;
	}
}

bool vmap_fits(u32 type, u32 helper)
{
	return type_takes(type, helper) && helper_takes(type, helper);
}
