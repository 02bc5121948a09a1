/* SPDX-License-Identifier: MIT */
/* Which helpers can be executed: by their function in the payload (payload/header.c) or because the
 * compiler writes their code in place. Add the number here with the body. */
#include <linux/bpf.h>

#include "ebpf/helpers.h"

static const u8 bodies[] = {
    BPF_FUNC_map_lookup_elem,
    BPF_FUNC_map_update_elem,
    BPF_FUNC_map_delete_elem,
    BPF_FUNC_probe_read,
    BPF_FUNC_ktime_get_ns,
    BPF_FUNC_trace_printk,
    BPF_FUNC_get_prandom_u32,
    BPF_FUNC_get_smp_processor_id,
    BPF_FUNC_get_current_pid_tgid,
    BPF_FUNC_get_current_uid_gid,
    BPF_FUNC_get_current_comm,
    BPF_FUNC_perf_event_output,
    BPF_FUNC_probe_write_user,
    BPF_FUNC_override_return,
    BPF_FUNC_map_push_elem,
    BPF_FUNC_map_pop_elem,
    BPF_FUNC_map_peek_elem,
    BPF_FUNC_get_current_task,
    BPF_FUNC_probe_read_str,
    BPF_FUNC_probe_read_user,
    BPF_FUNC_probe_read_kernel,
    BPF_FUNC_probe_read_user_str,
    BPF_FUNC_probe_read_kernel_str,
    BPF_FUNC_jiffies64,
    BPF_FUNC_ktime_get_boot_ns,
    BPF_FUNC_ringbuf_output,
    BPF_FUNC_ringbuf_reserve,
    BPF_FUNC_ringbuf_submit,
    BPF_FUNC_ringbuf_discard,
    BPF_FUNC_ringbuf_query,
    BPF_FUNC_ktime_get_coarse_ns,
    BPF_FUNC_get_func_ip,
    BPF_FUNC_get_attach_cookie,
    BPF_FUNC_trace_vprintk,
    BPF_FUNC_strncmp,
    BPF_FUNC_get_cgroup_classid,
    BPF_FUNC_get_numa_node_id,
    BPF_FUNC_get_current_cgroup_id,
    BPF_FUNC_strtol,
    BPF_FUNC_strtoul,
    BPF_FUNC_get_ns_current_pid_tgid,
    BPF_FUNC_get_current_ancestor_cgroup_id,
    BPF_FUNC_copy_from_user,
    BPF_FUNC_snprintf,
    BPF_FUNC_get_branch_snapshot,
    BPF_FUNC_ktime_get_tai_ns,
    BPF_FUNC_copy_from_user_task,
    BPF_FUNC_send_signal,
    BPF_FUNC_send_signal_thread,
    BPF_FUNC_loop,
    BPF_FUNC_get_stack,
    BPF_FUNC_get_stackid,
    BPF_FUNC_current_task_under_cgroup,
    BPF_FUNC_tail_call,
    BPF_FUNC_for_each_map_elem,
    BPF_FUNC_dynptr_from_mem,
    BPF_FUNC_ringbuf_reserve_dynptr,
    BPF_FUNC_ringbuf_submit_dynptr,
    BPF_FUNC_ringbuf_discard_dynptr,
    BPF_FUNC_dynptr_read,
    BPF_FUNC_dynptr_write,
    BPF_FUNC_dynptr_data,
    BPF_FUNC_get_current_task_btf,
    BPF_FUNC_task_pt_regs,
    BPF_FUNC_get_task_stack,
    BPF_FUNC_task_storage_get,
    BPF_FUNC_task_storage_delete,
    BPF_FUNC_map_lookup_percpu_elem,
    209 /* BPF_FUNC_user_ringbuf_drain */,
};

bool ebpf_helper_implemented(u32 id)
{
	for (u32 i = 0; i < sizeof(bodies); i++)
		if (bodies[i] == id)
			return true;
	return false;
}
