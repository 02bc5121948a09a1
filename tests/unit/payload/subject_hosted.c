/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include "payload/kfunc.h"
#include "payload/payload.h"

struct nt_state nt_state;
struct nt_local nt_local;

static const struct {
	u32 id;
	subject_helper *fn;
} helpers[] = {
    {1, helper_map_lookup},
    {NT_HELPER_HASH_LOOKUP, helper_hash_lookup4},
    {NT_HELPER_HASH_LOOKUP + 1, helper_hash_lookup8},
    {NT_HELPER_HASH_LOOKUP + 2, helper_hash_lookup},
    {2, helper_map_update},
    {3, helper_map_delete},
    {4, helper_probe_read},
    {5, helper_ktime_ns},
    {6, helper_trace_printk},
    {7, helper_prandom_u32},
    {8, helper_smp_processor_id},
    {12, helper_tail_call},
    {14, helper_pid_tgid},
    {15, helper_uid_gid},
    {16, helper_comm},
    {17, helper_zero},
    {27, helper_get_stackid},
    {35, helper_current_task},
    {37, helper_under_cgroup},
    {42, helper_numa_node_id},
    {45, helper_probe_read_str},
    {67, helper_get_stack},
    {80, helper_cgroup_id},
    {105, helper_strtol},
    {106, helper_strtoul},
    {109, helper_send_signal},
    {112, helper_probe_read},
    {113, helper_probe_read},
    {114, helper_probe_read_str},
    {115, helper_probe_read_str},
    {117, helper_send_signal_thread},
    {118, helper_jiffies64},
    {120, helper_ns_pid_tgid},
    {123, helper_ancestor_cgroup_id},
    {125, helper_ktime_boot_ns},
    {130, helper_ringbuf_output},
    {131, helper_ringbuf_reserve},
    {132, helper_ringbuf_submit},
    {133, helper_ringbuf_discard},
    {134, helper_ringbuf_query},
    {148, helper_probe_read},
    {160, helper_ktime_coarse_ns},
    {164, helper_for_each_map_elem},
    {165, helper_snprintf},
    {173, helper_func_ip},
    {174, helper_attach_cookie},
    {176, helper_branch_snapshot},
    {177, helper_trace_vprintk},
    {181, helper_loop},
    {182, helper_strncmp},
    {191, helper_copy_from_user_task},
    {197, helper_dynptr_from_mem},
    {198, helper_ringbuf_reserve_dynptr},
    {199, helper_ringbuf_submit_dynptr},
    {200, helper_ringbuf_discard_dynptr},
    {201, helper_dynptr_read},
    {202, helper_dynptr_write},
    {203, helper_dynptr_data},
    {208, helper_ktime_tai_ns},
    {36, helper_probe_write_user},
    {58, helper_override_return},
    {240, helper_deliver_signals},
    /* kfuncs */
    {NT_HELPER_KFUNC + 3, kfunc_iter_num_new},
    {NT_HELPER_KFUNC + 4, kfunc_iter_num_next},
    {NT_HELPER_KFUNC + 5, kfunc_iter_num_destroy},
    {NT_HELPER_KFUNC + 6, kfunc_iter_bits_new},
    {NT_HELPER_KFUNC + 7, kfunc_iter_bits_next},
    {NT_HELPER_KFUNC + 8, kfunc_iter_bits_destroy},
    {NT_HELPER_KFUNC + 15, kfunc_strcmp},
    {NT_HELPER_KFUNC + 16, kfunc_strcasecmp},
    {NT_HELPER_KFUNC + 17, kfunc_strchr},
    {NT_HELPER_KFUNC + 18, kfunc_strchrnul},
    {NT_HELPER_KFUNC + 19, kfunc_strnchr},
    {NT_HELPER_KFUNC + 20, kfunc_strrchr},
    {NT_HELPER_KFUNC + 21, kfunc_strlen},
    {NT_HELPER_KFUNC + 22, kfunc_strnlen},
    {NT_HELPER_KFUNC + 23, kfunc_strspn},
    {NT_HELPER_KFUNC + 24, kfunc_strcspn},
    {NT_HELPER_KFUNC + 25, kfunc_strstr},
    {NT_HELPER_KFUNC + 26, kfunc_strnstr},
    {NT_HELPER_KFUNC + 27, kfunc_dynptr_adjust},
    {NT_HELPER_KFUNC + 28, kfunc_dynptr_clone},
    {NT_HELPER_KFUNC + 29, kfunc_dynptr_copy},
    {NT_HELPER_KFUNC + 30, kfunc_dynptr_is_null},
    {NT_HELPER_KFUNC + 31, kfunc_dynptr_is_rdonly},
    {NT_HELPER_KFUNC + 32, kfunc_dynptr_memset},
    {NT_HELPER_KFUNC + 33, kfunc_dynptr_size},
    {NT_HELPER_KFUNC + 34, kfunc_dynptr_slice},
    {NT_HELPER_KFUNC + 35, kfunc_dynptr_slice_rdwr},
    {NT_HELPER_KFUNC + 36, kfunc_probe_read_dynptr},
    {NT_HELPER_KFUNC + 37, kfunc_probe_read_dynptr},
    {NT_HELPER_KFUNC + 38, kfunc_probe_read_str_dynptr},
    {NT_HELPER_KFUNC + 39, kfunc_probe_read_str_dynptr},
};

void subject_load(struct subject *s)
{
	s->state = &nt_state;
	s->local = &nt_local;
	for (u32 i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++)
		s->helper[helpers[i].id] = helpers[i].fn;
	s->ret_slow = ret_refill;
	s->ret_deep = ret_deep;
	s->session_open = session_open;
	s->session_keep = session_keep;
	s->session_at = session_at;
	s->session_more = session_give_more;
	s->row_slow = row_find_or_add;
	s->dl_find_object = unwind_find_object;
	s->r_brk = rbrk_notify;
	s->hold = hold_entry;
}
