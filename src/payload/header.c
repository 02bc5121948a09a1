/* SPDX-License-Identifier: MIT */
/*
 * The first bytes of the image, struct nt_payload_hdr. The compiler cannot put the difference of
 * two addresses into a constant, the assembler can; the offsets come from the contract all the
 * same. Only in the freestanding build.
 */
#include "payload/cpu.h"
#include "payload/kfunc.h"
#include "payload/payload.h"

#define AT(field) ".org nt_image + %c[" #field "]\n\t"
#define LINK(field, function) AT(field) ".long " #function " - nt_image\n\t"
/* By rising id. */
#define HELPER(id, function)                                                                       \
	".org nt_image + %c[helper] + 4 * " #id "\n\t.long " #function " - nt_image\n\t"

/* The numbers of enum ebpf_kfunc, by rising id: tests/unit/payload/image.c knows them by name. */
#define KFUNC(id, function) HELPER((256 + id), function)

__attribute__((CPU_ASM_ONLY used, section(".header"))) void nt_image(void);

void nt_image(void)
{
	__asm__ volatile(
	    /* clang-format off */
		AT(magic) ".long %c[magic_low], %c[magic_high]\n\t"
		AT(version) ".long %c[version_value]\n\t"
		AT(image_size) ".long nt_state - nt_image\n\t"
		LINK(fn_ret_slow, ret_refill)
		LINK(fn_row_slow, row_find_or_add)
		LINK(fn_dl_find_object, unwind_find_object)
		LINK(fn_r_brk, rbrk_notify)
		LINK(fn_ret_deep, ret_deep)
		LINK(fn_stats_run, stats_run)
		LINK(fn_session_open, session_open)
		LINK(fn_session_keep, session_keep)
		LINK(fn_session_at, session_at)
		LINK(fn_session_more, session_give_more)
		LINK(fn_hold, hold_entry)
		LINK(sent_pc, sent_pc)
		HELPER(1, helper_map_lookup)
		HELPER(2, helper_map_update)
		HELPER(3, helper_map_delete)
		HELPER(4, helper_probe_read)
		HELPER(5, helper_ktime_ns)
		HELPER(6, helper_trace_printk)
		HELPER(7, helper_prandom_u32)
		HELPER(8, helper_smp_processor_id)
		HELPER(12, helper_tail_call)
		HELPER(14, helper_pid_tgid)
		HELPER(15, helper_uid_gid)
		HELPER(16, helper_comm)
		HELPER(17, helper_zero)
		HELPER(25, helper_perf_event_output)
		HELPER(26, helper_skb_load_bytes)
		HELPER(27, helper_get_stackid)
		HELPER(28, helper_csum_diff)
		HELPER(35, helper_current_task)
		HELPER(36, helper_probe_write_user)
		HELPER(37, helper_under_cgroup)
		HELPER(42, helper_numa_node_id)
		HELPER(44, helper_xdp_adjust_head)
		HELPER(45, helper_probe_read_str)
		HELPER(54, helper_xdp_adjust_meta)
		HELPER(58, helper_override_return)
		HELPER(65, helper_xdp_adjust_tail)
		HELPER(67, helper_get_stack)
		HELPER(68, helper_skb_load_bytes_relative)
		HELPER(80, helper_cgroup_id)
		HELPER(87, helper_map_push)
		HELPER(88, helper_map_pop)
		HELPER(89, helper_map_peek)
		HELPER(105, helper_strtol)
		HELPER(106, helper_strtoul)
		HELPER(109, helper_send_signal)
		HELPER(112, helper_probe_read)
		HELPER(113, helper_probe_read)
		HELPER(114, helper_probe_read_str)
		HELPER(115, helper_probe_read_str)
		HELPER(117, helper_send_signal_thread)
		HELPER(118, helper_jiffies64)
		HELPER(120, helper_ns_pid_tgid)
		HELPER(123, helper_ancestor_cgroup_id)
		HELPER(125, helper_ktime_boot_ns)
		HELPER(130, helper_ringbuf_output)
		HELPER(131, helper_ringbuf_reserve)
		HELPER(132, helper_ringbuf_submit)
		HELPER(133, helper_ringbuf_discard)
		HELPER(134, helper_ringbuf_query)
		HELPER(141, helper_get_task_stack)
		HELPER(148, helper_probe_read)
		HELPER(156, helper_task_storage_get)
		HELPER(157, helper_task_storage_delete)
		HELPER(158, helper_current_task)
		HELPER(160, helper_ktime_coarse_ns)
		HELPER(164, helper_for_each_map_elem)
		HELPER(165, helper_snprintf)
		HELPER(166, helper_sys_bpf)
		HELPER(168, helper_sys_close)
		HELPER(173, helper_func_ip)
		HELPER(174, helper_attach_cookie)
		HELPER(175, helper_task_pt_regs)
		HELPER(176, helper_branch_snapshot)
		HELPER(177, helper_trace_vprintk)
		HELPER(181, helper_loop)
		HELPER(182, helper_strncmp)
		HELPER(188, helper_xdp_get_buff_len)
		HELPER(189, helper_xdp_load_bytes)
		HELPER(190, helper_xdp_store_bytes)
		HELPER(191, helper_copy_from_user_task)
		HELPER(195, helper_map_lookup_percpu)
		HELPER(197, helper_dynptr_from_mem)
		HELPER(198, helper_ringbuf_reserve_dynptr)
		HELPER(199, helper_ringbuf_submit_dynptr)
		HELPER(200, helper_ringbuf_discard_dynptr)
		HELPER(201, helper_dynptr_read)
		HELPER(202, helper_dynptr_write)
		HELPER(203, helper_dynptr_data)
		HELPER(208, helper_ktime_tai_ns)
		HELPER(209, helper_user_ringbuf_drain)
		HELPER(240, helper_deliver_signals)
		HELPER(241, helper_hash_lookup4)
		HELPER(242, helper_hash_lookup8)
		HELPER(243, helper_hash_lookup)
		HELPER(244, helper_packet_load)
		KFUNC(3, kfunc_iter_num_new)
		KFUNC(4, kfunc_iter_num_next)
		KFUNC(5, kfunc_iter_num_destroy)
		KFUNC(6, kfunc_iter_bits_new)
		KFUNC(7, kfunc_iter_bits_next)
		KFUNC(8, kfunc_iter_bits_destroy)
		KFUNC(15, kfunc_strcmp)
		KFUNC(16, kfunc_strcasecmp)
		KFUNC(17, kfunc_strchr)
		KFUNC(18, kfunc_strchrnul)
		KFUNC(19, kfunc_strnchr)
		KFUNC(20, kfunc_strrchr)
		KFUNC(21, kfunc_strlen)
		KFUNC(22, kfunc_strnlen)
		KFUNC(23, kfunc_strspn)
		KFUNC(24, kfunc_strcspn)
		KFUNC(25, kfunc_strstr)
		KFUNC(26, kfunc_strnstr)
		KFUNC(27, kfunc_dynptr_adjust)
		KFUNC(28, kfunc_dynptr_clone)
		KFUNC(29, kfunc_dynptr_copy)
		KFUNC(30, kfunc_dynptr_is_null)
		KFUNC(31, kfunc_dynptr_is_rdonly)
		KFUNC(32, kfunc_dynptr_memset)
		KFUNC(33, kfunc_dynptr_size)
		KFUNC(34, kfunc_dynptr_slice)
		KFUNC(35, kfunc_dynptr_slice_rdwr)
		KFUNC(36, kfunc_probe_read_dynptr)
		KFUNC(37, kfunc_probe_read_dynptr)
		KFUNC(38, kfunc_probe_read_str_dynptr)
		KFUNC(39, kfunc_probe_read_str_dynptr)
		KFUNC(42, kfunc_arena_alloc_pages)
		KFUNC(43, kfunc_arena_reserve_pages)
		KFUNC(44, kfunc_arena_free_pages)
		".org nt_image + %c[size]\n\t"
		/* payload.lds places nt_local behind nt_state, whose size only the compiler knows. */
		".globl nt_state_size\n\t"
		".set nt_state_size, %c[state_size]\n\t"
	    /* clang-format on */
	    :
	    : [magic] "i"(offsetof(struct nt_payload_hdr, magic)),
	      [magic_low] "i"((u32)NT_PAYLOAD_MAGIC),
	      [magic_high] "i"((u32)(NT_PAYLOAD_MAGIC >> 32)),
	      [version] "i"(offsetof(struct nt_payload_hdr, version)),
	      [version_value] "i"(NT_PAYLOAD_VERSION),
	      [image_size] "i"(offsetof(struct nt_payload_hdr, image_size)),
	      [fn_ret_slow] "i"(offsetof(struct nt_payload_hdr, fn_ret_slow)),
	      [fn_row_slow] "i"(offsetof(struct nt_payload_hdr, fn_row_slow)),
	      [fn_dl_find_object] "i"(offsetof(struct nt_payload_hdr, fn_dl_find_object)),
	      [fn_r_brk] "i"(offsetof(struct nt_payload_hdr, fn_r_brk)),
	      [fn_ret_deep] "i"(offsetof(struct nt_payload_hdr, fn_ret_deep)),
	      [fn_stats_run] "i"(offsetof(struct nt_payload_hdr, fn_stats_run)),
	      [fn_session_open] "i"(offsetof(struct nt_payload_hdr, fn_session_open)),
	      [fn_session_keep] "i"(offsetof(struct nt_payload_hdr, fn_session_keep)),
	      [fn_session_at] "i"(offsetof(struct nt_payload_hdr, fn_session_at)),
	      [fn_session_more] "i"(offsetof(struct nt_payload_hdr, fn_session_more)),
	      [fn_hold] "i"(offsetof(struct nt_payload_hdr, fn_hold)),
	      [sent_pc] "i"(offsetof(struct nt_payload_hdr, sent_pc)),
	      [helper] "i"(offsetof(struct nt_payload_hdr, helper)),
	      [size] "i"(sizeof(struct nt_payload_hdr)), [state_size] "i"(sizeof(struct nt_state)));
}
