/* SPDX-License-Identifier: MIT */
#include "ebpf/helpers.h"

#include <linux/bpf.h>

#include "abi/bpf.h"

#define HELPER_NAME(x) [BPF_FUNC_##x] = "bpf_" #x
static const char *const names[] = {__BPF_FUNC_MAPPER(HELPER_NAME)};
#define NAMES_N (sizeof(names) / sizeof(names[0]))

/* newer than the oldest header we build with */
#define HELPER_CGRP_STORAGE_GET 210
#define HELPER_CGRP_STORAGE_DELETE 211

#define GPL EBPF_HELPER_GPL
#define SLEEPS EBPF_HELPER_SLEEPS
#define PACKET EBPF_HELPER_PACKET
#define MOVES EBPF_HELPER_MOVES
#define RET(x) EBPF_RET_##x
#define A(x) EBPF_ARG_##x

/* The 81 that Linux 6.18 offers to uprobe programs, the two that write, which a kernel has or has not, and of those that it
 * offers to socket filters, XDP and system call programs alone the ones that have a body. */
static const struct ebpf_helper protos[] = {
    [BPF_FUNC_map_lookup_elem] = {RET(VALUE_NULL), {A(MAP), A(KEY)}, PACKET},
    [BPF_FUNC_map_update_elem] = {RET(INT), {A(MAP), A(KEY), A(VALUE), A(ANY)}, PACKET},
    [BPF_FUNC_map_delete_elem] = {RET(INT), {A(MAP), A(KEY)}, PACKET},
    [BPF_FUNC_probe_read] = {RET(INT), {A(OUT), A(SIZE0), A(ANY)}, GPL},
    [BPF_FUNC_ktime_get_ns] = {RET(INT), {0}, 0},
    [BPF_FUNC_trace_printk] = {RET(INT), {A(MEM), A(SIZE)}, GPL},
    [BPF_FUNC_get_prandom_u32] = {RET(INT), {0}, 0},
    [BPF_FUNC_get_smp_processor_id] = {RET(INT), {0}, 0},
    [BPF_FUNC_tail_call] = {RET(VOID), {A(CTX), A(MAP), A(ANY)}, MOVES},
    [BPF_FUNC_get_current_pid_tgid] = {RET(INT), {0}, 0},
    [BPF_FUNC_get_current_uid_gid] = {RET(INT), {0}, 0},
    [BPF_FUNC_get_current_comm] = {RET(INT), {A(OUT), A(SIZE)}, 0},
    [BPF_FUNC_get_cgroup_classid] = {RET(INT), {0}, 0},
    [BPF_FUNC_perf_event_read] = {RET(INT), {A(MAP), A(ANY)}, GPL},
    [BPF_FUNC_probe_write_user] = {RET(INT), {A(ANY), A(MEM), A(SIZE)}, GPL},
    [BPF_FUNC_override_return] = {RET(INT), {A(CTX), A(ANY)}, GPL},
    [BPF_FUNC_perf_event_output] = {RET(INT), {A(CTX), A(MAP), A(ANY), A(MEM), A(SIZE0)}, GPL},
    [BPF_FUNC_get_stackid] = {RET(INT), {A(CTX), A(MAP), A(ANY)}, GPL},
    [BPF_FUNC_get_current_task] = {RET(INT), {0}, GPL},
    [BPF_FUNC_current_task_under_cgroup] = {RET(INT), {A(MAP), A(ANY)}, 0},
    [BPF_FUNC_get_numa_node_id] = {RET(INT), {0}, 0},
    [BPF_FUNC_probe_read_str] = {RET(INT), {A(OUT), A(SIZE0), A(ANY)}, GPL},
    [BPF_FUNC_perf_event_read_value] = {RET(INT), {A(MAP), A(ANY), A(OUT), A(SIZE)}, GPL},
    [BPF_FUNC_get_stack] = {RET(INT), {A(CTX), A(OUT), A(SIZE0), A(ANY)}, GPL},
    [BPF_FUNC_get_current_cgroup_id] = {RET(INT), {0}, 0},
    [BPF_FUNC_map_push_elem] = {RET(INT), {A(MAP), A(VALUE), A(ANY)}, PACKET},
    [BPF_FUNC_map_pop_elem] = {RET(INT), {A(MAP), A(VALUE_OUT)}, 0},
    [BPF_FUNC_map_peek_elem] = {RET(INT), {A(MAP), A(VALUE_OUT)}, 0},
    [BPF_FUNC_spin_lock] = {RET(VOID), {A(LOCK)}, 0},
    [BPF_FUNC_spin_unlock] = {RET(VOID), {A(LOCK)}, 0},
    [BPF_FUNC_strtol] = {RET(INT), {A(MEM), A(SIZE), A(ANY), A(LONG)}, 0},
    [BPF_FUNC_strtoul] = {RET(INT), {A(MEM), A(SIZE), A(ANY), A(LONG)}, 0},
    [BPF_FUNC_send_signal] = {RET(INT), {A(ANY)}, 0},
    [BPF_FUNC_probe_read_user] = {RET(INT), {A(OUT), A(SIZE0), A(ANY)}, GPL},
    [BPF_FUNC_probe_read_kernel] = {RET(INT), {A(OUT), A(SIZE0), A(ANY)}, GPL},
    [BPF_FUNC_probe_read_user_str] = {RET(INT), {A(OUT), A(SIZE0), A(ANY)}, GPL},
    [BPF_FUNC_probe_read_kernel_str] = {RET(INT), {A(OUT), A(SIZE0), A(ANY)}, GPL},
    [BPF_FUNC_send_signal_thread] = {RET(INT), {A(ANY)}, 0},
    [BPF_FUNC_jiffies64] = {RET(INT), {0}, 0},
    [BPF_FUNC_get_ns_current_pid_tgid] = {RET(INT), {A(ANY), A(ANY), A(OUT), A(SIZE)}, 0},
    [BPF_FUNC_get_current_ancestor_cgroup_id] = {RET(INT), {A(ANY)}, 0},
    [BPF_FUNC_ktime_get_boot_ns] = {RET(INT), {0}, 0},
    [BPF_FUNC_ringbuf_output] = {RET(INT), {A(MAP), A(MEM), A(SIZE0), A(ANY)}, 0},
    [BPF_FUNC_ringbuf_reserve] = {RET(RECORD_NULL), {A(MAP), A(ALLOC), A(ANY)}, 0},
    [BPF_FUNC_ringbuf_submit] = {RET(VOID), {A(RECORD), A(ANY)}, 0},
    [BPF_FUNC_ringbuf_discard] = {RET(VOID), {A(RECORD), A(ANY)}, 0},
    [BPF_FUNC_ringbuf_query] = {RET(INT), {A(MAP), A(ANY)}, 0},
    [BPF_FUNC_get_task_stack] = {RET(INT), {A(TASK), A(OUT), A(SIZE0), A(ANY)}, 0},
    [BPF_FUNC_copy_from_user] = {RET(INT), {A(OUT), A(SIZE0), A(ANY)}, SLEEPS},
    [BPF_FUNC_snprintf_btf] = {RET(INT), {A(OUT), A(SIZE), A(MEM), A(SIZE), A(ANY)}, 0},
    [BPF_FUNC_per_cpu_ptr] = {RET(PERCPU_NULL), {A(PERCPU), A(ANY)}, 0},
    [BPF_FUNC_this_cpu_ptr] = {RET(PERCPU_NULL), {A(PERCPU)}, 0},
    [BPF_FUNC_task_storage_get] = {RET(VALUE_NULL), {A(MAP), A(TASK_NULL), A(VALUE_NULL), A(ANY)}, 0},
    [BPF_FUNC_task_storage_delete] = {RET(INT), {A(MAP), A(TASK_NULL)}, 0},
    [BPF_FUNC_get_current_task_btf] = {RET(TASK), {0}, GPL},
    [BPF_FUNC_ktime_get_coarse_ns] = {RET(INT), {0}, 0},
    [BPF_FUNC_for_each_map_elem] = {RET(INT), {A(MAP), A(FUNC), A(FUNC_DATA), A(ANY)}, 0},
    [BPF_FUNC_snprintf] = {RET(INT), {A(OUT_NULL), A(SIZE0), A(STRING), A(MEM_NULL), A(SIZE0)}, GPL},
    [BPF_FUNC_timer_init] = {RET(INT), {A(TIMER), A(MAP), A(ANY)}, GPL},
    [BPF_FUNC_timer_set_callback] = {RET(INT), {A(TIMER), A(FUNC)}, GPL},
    [BPF_FUNC_timer_start] = {RET(INT), {A(TIMER), A(ANY), A(ANY)}, GPL},
    [BPF_FUNC_timer_cancel] = {RET(INT), {A(TIMER)}, GPL},
    [BPF_FUNC_get_func_ip] = {RET(INT), {A(CTX)}, GPL},
    [BPF_FUNC_get_attach_cookie] = {RET(INT), {A(CTX)}, 0},
    [BPF_FUNC_task_pt_regs] = {RET(REGS), {A(TASK)}, GPL},
    [BPF_FUNC_get_branch_snapshot] = {RET(INT), {A(OUT), A(SIZE0)}, GPL},
    [BPF_FUNC_trace_vprintk] = {RET(INT), {A(MEM), A(SIZE), A(MEM_NULL), A(SIZE0)}, GPL},
    [BPF_FUNC_find_vma] = {RET(INT), {A(TASK), A(ANY), A(FUNC), A(FUNC_DATA), A(ANY)}, 0},
    [BPF_FUNC_loop] = {RET(INT), {A(ANY), A(FUNC), A(FUNC_DATA), A(ANY)}, 0},
    [BPF_FUNC_strncmp] = {RET(INT), {A(MEM), A(SIZE), A(STRING)}, 0},
    [BPF_FUNC_copy_from_user_task] = {RET(INT), {A(OUT), A(SIZE0), A(ANY), A(TASK), A(ANY)}, GPL | SLEEPS},
    [BPF_FUNC_kptr_xchg] = {RET(INT), {A(KPTR), A(ANY)}, 0},
    [BPF_FUNC_map_lookup_percpu_elem] = {RET(VALUE_NULL), {A(MAP), A(KEY), A(ANY)}, PACKET},
    [BPF_FUNC_dynptr_from_mem] = {RET(INT), {A(OUT), A(SIZE0), A(ANY), A(DYNPTR_NEW)}, 0},
    [BPF_FUNC_ringbuf_reserve_dynptr] = {RET(INT), {A(MAP), A(ANY), A(ANY), A(DYNPTR_NEW)}, 0},
    [BPF_FUNC_ringbuf_submit_dynptr] = {RET(VOID), {A(DYNPTR_RECORD), A(ANY)}, 0},
    [BPF_FUNC_ringbuf_discard_dynptr] = {RET(VOID), {A(DYNPTR_RECORD), A(ANY)}, 0},
    [BPF_FUNC_dynptr_read] = {RET(INT), {A(OUT), A(SIZE0), A(DYNPTR), A(ANY), A(ANY)}, 0},
    [BPF_FUNC_dynptr_write] = {RET(INT), {A(DYNPTR), A(ANY), A(MEM), A(SIZE0), A(ANY)}, 0},
    [BPF_FUNC_dynptr_data] = {RET(SLICE_NULL), {A(DYNPTR), A(ANY), A(ALLOC)}, 0},
    [BPF_FUNC_ktime_get_tai_ns] = {RET(INT), {0}, 0},
    [NT_BPF_FUNC_USER_RINGBUF_DRAIN] = {RET(INT), {A(MAP), A(FUNC), A(FUNC_DATA), A(ANY)}, 0},
    [HELPER_CGRP_STORAGE_GET] = {RET(VALUE_NULL), {A(MAP), A(CGROUP), A(VALUE_NULL), A(ANY)}, 0},
    [HELPER_CGRP_STORAGE_DELETE] = {RET(INT), {A(MAP), A(CGROUP)}, 0},
    [BPF_FUNC_skb_load_bytes] = {RET(INT), {A(CTX), A(ANY), A(OUT), A(SIZE)}, 0},
    [BPF_FUNC_skb_load_bytes_relative] = {RET(INT), {A(CTX), A(ANY), A(OUT), A(SIZE), A(ANY)}, 0},
    [BPF_FUNC_csum_diff] = {RET(INT), {A(MEM_NULL), A(SIZE0), A(MEM_NULL), A(SIZE0), A(ANY)}, PACKET},
    [BPF_FUNC_xdp_adjust_head] = {RET(INT), {A(CTX), A(ANY)}, MOVES},
    [BPF_FUNC_xdp_adjust_meta] = {RET(INT), {A(CTX), A(ANY)}, MOVES},
    [BPF_FUNC_xdp_adjust_tail] = {RET(INT), {A(CTX), A(ANY)}, MOVES},
    [BPF_FUNC_xdp_get_buff_len] = {RET(INT), {A(CTX)}, 0},
    [BPF_FUNC_xdp_load_bytes] = {RET(INT), {A(CTX), A(ANY), A(OUT), A(SIZE)}, 0},
    [BPF_FUNC_xdp_store_bytes] = {RET(INT), {A(CTX), A(ANY), A(MEM), A(SIZE)}, 0},
    [BPF_FUNC_sys_bpf] = {RET(INT), {A(ANY), A(MEM), A(SIZE)}, 0},
    [BPF_FUNC_sys_close] = {RET(INT), {A(ANY)}, 0},
};

const struct ebpf_helper *ebpf_helper_get(u32 id)
{
	if (id >= sizeof(protos) / sizeof(protos[0]) || protos[id].ret == EBPF_RET_NO_HELPER)
		return NULL;
	return &protos[id];
}

const char *ebpf_helper_name(u32 id)
{
	if (id == NT_BPF_FUNC_USER_RINGBUF_DRAIN)
		return "bpf_user_ringbuf_drain";
	if (id == HELPER_CGRP_STORAGE_GET)
		return "bpf_cgrp_storage_get";
	if (id == HELPER_CGRP_STORAGE_DELETE)
		return "bpf_cgrp_storage_delete";
	return id == 0 || id >= NAMES_N ? NULL : names[id];
}

static bool type_is_tracing(u32 prog_type)
{
	return prog_type == BPF_PROG_TYPE_KPROBE || prog_type == BPF_PROG_TYPE_TRACEPOINT ||
	       prog_type == BPF_PROG_TYPE_PERF_EVENT || prog_type == BPF_PROG_TYPE_RAW_TRACEPOINT ||
	       prog_type == BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE;
}

static bool has(const u8 *id, u32 n, u32 wanted)
{
	for (u32 i = 0; i < n; i++)
		if (id[i] == wanted)
			return true;
	return false;
}

/* What these types have and tracing programs have not, as measured. */
static bool only_for(u32 id, u32 prog_type)
{
	static const u8 skb[] = {26, 46, 47, 68, 122, 136, 137, 138, 139, 140, 160, 178, 196};
	static const u8 xdp[] = {23,  28,  44,  51,	54,  65,  69,  84,  85,	 86,  99,  100, 110, 136, 137,
				 138, 139, 140, 160, 163, 178, 188, 189, 190, 196, 204, 205, 206, 207};
	static const u8 syscall[] = {46,  107, 108, 111, 121, 136, 137, 138, 139, 140,
				     147, 162, 166, 167, 168, 178, 179, 188, 196};

	switch (prog_type) {
	case BPF_PROG_TYPE_SOCKET_FILTER: return has(skb, sizeof(skb), id);
	case BPF_PROG_TYPE_XDP: return has(xdp, sizeof(xdp), id);
	case BPF_PROG_TYPE_SYSCALL: return has(syscall, sizeof(syscall), id);
	}
	return id == BPF_FUNC_ktime_get_coarse_ns && !type_is_tracing(prog_type);
}

bool ebpf_helper_allowed(u32 id, u32 prog_type)
{
	if (only_for(id, prog_type))
		return true;
	if (!ebpf_helper_get(id))
		return false;
	switch (id) {
	case BPF_FUNC_probe_read:
	case BPF_FUNC_probe_read_str:
	case BPF_FUNC_get_stackid:
	case BPF_FUNC_get_stack:
	case BPF_FUNC_get_func_ip:
		return type_is_tracing(prog_type) || prog_type == BPF_PROG_TYPE_SYSCALL;
	case BPF_FUNC_probe_write_user:
	case BPF_FUNC_get_attach_cookie: return type_is_tracing(prog_type);
	case BPF_FUNC_override_return: return prog_type == BPF_PROG_TYPE_KPROBE;
	case BPF_FUNC_ktime_get_coarse_ns:
	case BPF_FUNC_skb_load_bytes:
	case BPF_FUNC_skb_load_bytes_relative:
	case BPF_FUNC_csum_diff:
	case BPF_FUNC_xdp_adjust_head:
	case BPF_FUNC_xdp_adjust_meta:
	case BPF_FUNC_xdp_adjust_tail:
	case BPF_FUNC_xdp_get_buff_len:
	case BPF_FUNC_xdp_load_bytes:
	case BPF_FUNC_xdp_store_bytes:
	case BPF_FUNC_sys_bpf:
	case BPF_FUNC_sys_close: return false;
	default: return true;
	}
}

bool ebpf_helper_writes(u32 id)
{
	return id == BPF_FUNC_probe_write_user || id == BPF_FUNC_override_return;
}
