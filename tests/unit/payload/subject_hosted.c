/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include "payload/payload.h"

struct nt_state nt_state;
struct nt_local nt_local;

static const struct {
	u32 id;
	subject_helper *fn;
} helpers[] = {
    {1, helper_map_lookup},
    {2, helper_map_update},
    {3, helper_map_delete},
    {4, helper_probe_read},
    {5, helper_ktime_ns},
    {6, helper_trace_printk},
    {7, helper_prandom_u32},
    {8, helper_smp_processor_id},
    {14, helper_pid_tgid},
    {15, helper_uid_gid},
    {16, helper_comm},
    {35, helper_current_task},
    {45, helper_probe_read_str},
    {112, helper_probe_read},
    {113, helper_probe_read},
    {114, helper_probe_read_str},
    {115, helper_probe_read_str},
    {118, helper_jiffies64},
    {125, helper_ktime_boot_ns},
    {130, helper_ringbuf_output},
    {131, helper_ringbuf_reserve},
    {132, helper_ringbuf_submit},
    {133, helper_ringbuf_discard},
    {134, helper_ringbuf_query},
    {160, helper_ktime_coarse_ns},
    {173, helper_func_ip},
    {174, helper_attach_cookie},
    {177, helper_trace_vprintk},
    {182, helper_strncmp},
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
}
